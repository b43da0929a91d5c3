"""Mistakes inside one step: the activations, the update of c, of h."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from cell_verifier.mistakes.catalogue import Change, mistake
from cell_verifier.reference.equations import Weights, candidate_of


@mistake(
    "hard-sigmoid",
    "step",
    kinds=("gru", "lstm"),
    why="a piecewise linear stand-in for σ is near it, and is not it",
    right="torch.sigmoid(a)",
    wrong="F.hardsigmoid(a), or torch.clamp(0.2 * a + 0.5, 0, 1)",
    fix="use torch.sigmoid",
)
def hard_sigmoid(kind: str) -> Iterator[Change]:
    yield Change("u/6 + 0.5, PyTorch's F.hardsigmoid", stages={"sigmoid": F.hardsigmoid})
    yield Change(
        "0.2u + 0.5, Keras's", stages={"sigmoid": lambda a: torch.clamp(0.2 * a + 0.5, 0, 1)}
    )


@mistake(
    "sigmoid-candidate",
    "step",
    kinds=("gru", "lstm"),
    why="the candidate goes through σ, so that it can only be positive",
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
    why="the candidate goes through ReLU and has no bound",
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
    why="another function stands where torch.nn.RNN has tanh",
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
        yield Change(f"{name} in tanh's place", stages={"activation": function}, gate="candidate")


@mistake(
    "swapped-input-forget",
    "step",
    kinds=("lstm",),
    why="the input gate keeps the old c and the forget gate lets the candidate in "
    "(reading the rows as f, i, g, o is the same function)",
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
    why="one gate decides both what is kept and what is written",
    right="c' = f ⊙ c + i ⊙ g",
    wrong="c' = f ⊙ c + (1 - f) ⊙ g",
    fix="let the input gate scale the candidate",
)
def coupled_gates(kind: str) -> Iterator[Change]:
    yield Change(
        "1 - f in i's place", stages={"cell": lambda i, f, g, c: f * c + (1 - f) * g}, gate="input"
    )
    yield Change(
        "1 - i in f's place", stages={"cell": lambda i, f, g, c: (1 - i) * c + i * g}, gate="forget"
    )


@mistake(
    "peepholes",
    "step",
    kinds=("lstm",),
    why="the gates see c through weights of their own, which torch.nn.LSTM does not have",
    right="f = σ(W_if x + b_if + W_hf h + b_hf)",
    wrong="f = σ(W_if x + b_if + W_hf h + b_hf + p_f ⊙ c)",
    fix="take c out of the gates",
)
def peepholes(kind: str) -> Iterator[Change]:
    def peep(w: Weights, a: Tensor, c: Tensor) -> Tensor:
        return a + seen(w, c)

    def seen(w: Weights, c: Tensor) -> Tensor:
        return c.unsqueeze(-3) @ w.peephole.transpose(-1, -2)

    def output_sees_new(w: Weights, a_o: Tensor, c: Tensor, new_c: Tensor) -> Tensor:
        return a_o - seen(w, c)[..., 3, :, :] + seen(w, new_c)[..., 3, :, :]

    yield Change(
        "the output gate sees the new c", stages={"peep": peep, "peep_output": output_sees_new}
    )
    yield Change("every gate sees the old c", stages={"peep": peep})


@mistake(
    "tanh-stored-cell",
    "step",
    kinds=("lstm",),
    why="tanh(c) is stored back as c, so that the memory is squashed at every step",
    right="c' = f ⊙ c + i ⊙ g;  h' = o ⊙ tanh(c')",
    wrong="c' = tanh(f ⊙ c + i ⊙ g)",
    fix="keep c' as it is; take its tanh only for h'",
)
def tanh_stored_cell(kind: str) -> Iterator[Change]:
    def squashed(i: Tensor, f: Tensor, g: Tensor, c: Tensor) -> Tensor:
        return torch.tanh(f * c + i * g)

    yield Change("and h' takes its tanh again", stages={"cell": squashed})
    yield Change("and h' is o ⊙ c'", stages={"cell": squashed, "hidden": lambda o, c, old_c: o * c})


@mistake(
    "missing-output-tanh",
    "step",
    kinds=("lstm",),
    why="the output gate shows c itself, which has no bound",
    right="h' = o ⊙ tanh(c')",
    wrong="h' = o ⊙ c'",
    fix="take the tanh of c' before the output gate",
)
def missing_output_tanh(kind: str) -> Iterator[Change]:
    yield Change(stages={"hidden": lambda o, c, old_c: o * c}, gate="output")


@mistake(
    "tanh-after-output-gate",
    "step",
    kinds=("lstm",),
    why="the tanh is taken after the output gate instead of before",
    right="h' = o ⊙ tanh(c')",
    wrong="h' = tanh(o ⊙ c')",
    fix="take the tanh of c' alone, then multiply by o",
)
def tanh_after_output_gate(kind: str) -> Iterator[Change]:
    yield Change(stages={"hidden": lambda o, c, old_c: torch.tanh(o * c)}, gate="output")


@mistake(
    "output-from-old-cell",
    "step",
    kinds=("lstm",),
    why="h' shows the c from before the update",
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
    why="the reset gate is applied to h before the matrix product, as in the paper's first form",
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
    why="b_hn stays outside the reset gate",
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
    why="the reset gate scales the input's part of the candidate too",
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
    why="the reset gate is left out of the candidate",
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
    why="z and 1 - z are exchanged: z is what torch.nn keeps of the old h",
    right="h' = (1 - z) ⊙ n + z ⊙ h",
    wrong="h' = z ⊙ n + (1 - z) ⊙ h",
    fix="exchange z and 1 - z",
)
def swapped_update(kind: str) -> Iterator[Change]:
    yield Change(stages={"update": lambda z, n, h: z * n + (1 - z) * h}, gate="update")
