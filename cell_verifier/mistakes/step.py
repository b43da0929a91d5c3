"""Mistakes within a time step: the activations, the update of c, the update of h."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from cell_verifier.mistakes.mistake import Change, mistake
from cell_verifier.reference.equations import Weights, candidate_of, product


@mistake(
    "hard-sigmoid",
    "step",
    kinds=("gru", "lstm"),
    why="a piecewise linear function approximates σ but differs from it",
    right="torch.sigmoid(a)",
    wrong="F.hardsigmoid(a), or torch.clamp(0.2 * a + 0.5, 0, 1)",
    fix="use torch.sigmoid",
)
def hard_sigmoid(kind: str) -> Iterator[Change]:
    yield Change("clamp(a / 6 + 0.5, 0, 1), as F.hardsigmoid", stages={"sigmoid": F.hardsigmoid})
    yield Change(
        "clamp(0.2 * a + 0.5, 0, 1), as in Keras",
        stages={"sigmoid": lambda a: torch.clamp(0.2 * a + 0.5, 0, 1)},
    )


@mistake(
    "sigmoid-candidate",
    "step",
    kinds=("gru", "lstm"),
    why="σ in place of tanh: the candidate can only be positive",
    right="g = tanh(a_g)   (GRU: n = tanh(a_n))",
    wrong="g = σ(a_g)",
    fix="use torch.tanh for the candidate",
)
def sigmoid_candidate(kind: str) -> Iterator[Change]:
    yield Change(stages={"activation": torch.sigmoid}, gate="candidate")


@mistake(
    "relu-candidate",
    "step",
    kinds=("gru", "lstm"),
    why="ReLU in place of tanh: the candidate is not bounded",
    right="g = tanh(a_g)   (GRU: n = tanh(a_n))",
    wrong="g = relu(a_g)",
    fix="use torch.tanh for the candidate",
)
def relu_candidate(kind: str) -> Iterator[Change]:
    yield Change(stages={"activation": torch.relu}, gate="candidate")


@mistake(
    "wrong-nonlinearity",
    "step",
    kinds=("rnn",),
    why="another activation than tanh, which torch.nn.RNN uses",
    right="h' = tanh(W_ih x + b_ih + W_hh h + b_hh)",
    wrong="h' = relu(W_ih x + b_ih + W_hh h + b_hh)",
    fix="use torch.tanh (torch.nn.RNN has ReLU only with nonlinearity='relu')",
)
def wrong_nonlinearity(kind: str) -> Iterator[Change]:
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "ReLU": torch.relu,
        "σ": torch.sigmoid,
        "the identity": lambda a: a,
        "hardtanh": F.hardtanh,
        "softsign": F.softsign,
        "LeakyReLU(0.01)": F.leaky_relu,
        "ELU": F.elu,
        "GELU": F.gelu,
        "SiLU": F.silu,
        "sin": torch.sin,
    }
    for name, function in functions.items():
        yield Change(f"{name} in place of tanh", stages={"activation": function}, gate="candidate")


@mistake(
    "swapped-input-forget",
    "step",
    kinds=("lstm",),
    why="the input gate scales the old c and the forget gate scales the candidate "
    "(reading the rows as f, i, g, o gives the same function)",
    right="c' = f ⊙ c + i ⊙ g",
    wrong="c' = i ⊙ c + f ⊙ g",
    fix="exchange i and f in the update of c, or in the unpacking of the chunks",
)
def swapped_input_forget(kind: str) -> Iterator[Change]:
    yield Change(stages={"cell": lambda i, f, g, c: i * c + f * g})


@mistake(
    "added-not-multiplied",
    "step",
    kinds=("lstm",),
    why="the input gate is added to the candidate instead of scaling it",
    right="c' = f ⊙ c + i ⊙ g",
    wrong="c' = f ⊙ c + i + g",
    fix="multiply i by g",
)
def added_not_multiplied(kind: str) -> Iterator[Change]:
    yield Change(stages={"cell": lambda i, f, g, c: f * c + (i + g)}, gate="input")


@mistake(
    "coupled-gates",
    "step",
    kinds=("lstm",),
    why="one gate scales both the old c and the candidate; torch.nn has two gates",
    right="c' = f ⊙ c + i ⊙ g",
    wrong="c' = f ⊙ c + (1 - f) ⊙ g",
    fix="multiply c by f and the candidate by i",
)
def coupled_gates(kind: str) -> Iterator[Change]:
    yield Change(
        "1 - f in place of i", stages={"cell": lambda i, f, g, c: f * c + (1 - f) * g}, gate="input"
    )
    yield Change(
        "1 - i in place of f",
        stages={"cell": lambda i, f, g, c: (1 - i) * c + i * g},
        gate="forget",
    )


@mistake(
    "peepholes",
    "step",
    kinds=("lstm",),
    why="the gates depend on c through additional weights, which torch.nn.LSTM does not have",
    right="f = σ(W_if x + b_if + W_hf h + b_hf)",
    wrong="f = σ(W_if x + b_if + W_hf h + b_hf + p_f ⊙ c)",
    fix="remove c from the gates",
)
def peepholes(kind: str) -> Iterator[Change]:
    def old_c(w: Weights, a: Tensor, c: Tensor) -> Tensor:
        return a + product(w.peephole, c)

    def new_c_for_output(w: Weights, a_o: Tensor, c: Tensor, new_c: Tensor) -> Tensor:
        output = w.peephole[..., 3, :, :].transpose(-1, -2)
        return a_o - c @ output + new_c @ output

    yield Change(
        "the output gate reads the new c",
        stages={"peephole_terms": old_c, "output_peephole_term": new_c_for_output},
    )
    yield Change("every gate reads the old c", stages={"peephole_terms": old_c})


@mistake(
    "tanh-stored-cell",
    "step",
    kinds=("lstm",),
    why="tanh(c) is stored as c, so c is squashed again at every time step",
    right="c' = f ⊙ c + i ⊙ g;  h' = o ⊙ tanh(c')",
    wrong="c' = tanh(f ⊙ c + i ⊙ g)",
    fix="store c' itself; apply tanh only to compute h'",
)
def tanh_stored_cell(kind: str) -> Iterator[Change]:
    def squashed(i: Tensor, f: Tensor, g: Tensor, c: Tensor) -> Tensor:
        return torch.tanh(f * c + i * g)

    yield Change("with h' = o ⊙ tanh(c')", stages={"cell": squashed})
    yield Change("with h' = o ⊙ c'", stages={"cell": squashed, "hidden": lambda o, c, old_c: o * c})


@mistake(
    "missing-output-tanh",
    "step",
    kinds=("lstm",),
    why="h' is computed from c' without tanh, so h' is not bounded",
    right="h' = o ⊙ tanh(c')",
    wrong="h' = o ⊙ c'",
    fix="apply tanh to c' before multiplying by the output gate",
)
def missing_output_tanh(kind: str) -> Iterator[Change]:
    yield Change(stages={"hidden": lambda o, c, old_c: o * c}, gate="output")


@mistake(
    "tanh-after-output-gate",
    "step",
    kinds=("lstm",),
    why="tanh is applied after the output gate instead of before it",
    right="h' = o ⊙ tanh(c')",
    wrong="h' = tanh(o ⊙ c')",
    fix="apply tanh to c' alone, then multiply by o",
)
def tanh_after_output_gate(kind: str) -> Iterator[Change]:
    yield Change(stages={"hidden": lambda o, c, old_c: torch.tanh(o * c)}, gate="output")


@mistake(
    "output-from-old-cell",
    "step",
    kinds=("lstm",),
    why="h' is computed from c before its update",
    right="h' = o ⊙ tanh(c')",
    wrong="h' = o ⊙ tanh(c)",
    fix="compute c' first and use it for h'",
)
def output_from_old_cell(kind: str) -> Iterator[Change]:
    yield Change(stages={"hidden": lambda o, c, old_c: o * torch.tanh(old_c)}, gate="output")


@mistake(
    "reset-before-matmul",
    "step",
    kinds=("gru",),
    why="the reset gate is applied to h before the matrix product, as in the first version of the "
    "paper (Cho et al., 2014)",
    right="n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))",
    wrong="n = tanh(W_in x + b_in + W_hn (r ⊙ h) + b_hn)",
    fix="multiply W_hn h + b_hn by r, not h",
)
def reset_before_matmul(kind: str) -> Iterator[Change]:
    yield Change(
        stages={"reset": lambda w, n_x, r, h: n_x + candidate_of(w, r * h)}, gate="candidate"
    )


@mistake(
    "reset-outside-bias",
    "step",
    kinds=("gru",),
    why="b_hn is not multiplied by the reset gate",
    right="n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))",
    wrong="n = tanh(W_in x + b_in + r ⊙ (W_hn h) + b_hn)",
    fix="add b_hn before multiplying by r",
)
def reset_outside_bias(kind: str) -> Iterator[Change]:
    yield Change(
        stages={
            "reset": lambda w, n_x, r, h: (
                n_x + r * candidate_of(w, h, bias=False) + w.b_hh[..., 2, None, :]
            )
        },
        gate="candidate",
    )


@mistake(
    "reset-over-everything",
    "step",
    kinds=("gru",),
    why="the reset gate also scales the input part of the candidate",
    right="n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))",
    wrong="n = tanh(r ⊙ (W_in x + b_in + W_hn h + b_hn))",
    fix="multiply only the recurrent part by r",
)
def reset_over_everything(kind: str) -> Iterator[Change]:
    yield Change(
        stages={"reset": lambda w, n_x, r, h: r * (n_x + candidate_of(w, h))}, gate="candidate"
    )


@mistake(
    "no-reset",
    "step",
    kinds=("gru",),
    why="the candidate is computed without the reset gate",
    right="n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))",
    wrong="n = tanh(W_in x + b_in + W_hn h + b_hn)",
    fix="multiply the recurrent part by r",
)
def no_reset(kind: str) -> Iterator[Change]:
    yield Change(stages={"reset": lambda w, n_x, r, h: n_x + candidate_of(w, h)}, gate="candidate")


@mistake(
    "swapped-update",
    "step",
    kinds=("gru",),
    why="z and 1 - z are exchanged; torch.nn multiplies the old h by z",
    right="h' = (1 - z) ⊙ n + z ⊙ h",
    wrong="h' = z ⊙ n + (1 - z) ⊙ h",
    fix="exchange z and 1 - z",
)
def swapped_update(kind: str) -> Iterator[Change]:
    yield Change(stages={"update": lambda z, n, h: z * n + (1 - z) * h}, gate="update")


MISTAKES = (
    hard_sigmoid,
    sigmoid_candidate,
    relu_candidate,
    wrong_nonlinearity,
    swapped_input_forget,
    added_not_multiplied,
    coupled_gates,
    peepholes,
    tanh_stored_cell,
    missing_output_tanh,
    tanh_after_output_gate,
    output_from_old_cell,
    reset_before_matmul,
    reset_outside_bias,
    reset_over_everything,
    no_reset,
    swapped_update,
)
