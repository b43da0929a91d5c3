"""Mistakes in the loop over time of a backward pass, and in the gradients that it returns."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from cell_verifier.backward.derivation import Environment, ForwardVariant, equations_of
from cell_verifier.backward.mistake import BackwardMistake, Way, mistake, rewrite, with_factor
from cell_verifier.backward.passes import Edits, Tensors, Upstream

Finish = Callable[[Tensors, Sequence[Environment], str], Tensors]


def _loop(right: str, wrong: str, **stages: Callable[..., object]) -> Way:
    """The way that replaces these stages of the loop."""
    return Way(Edits(loop=stages), right, wrong)


def _returned(right: str, wrong: str, finish: Finish) -> Way:
    """The way that changes the gradients before they are returned."""
    return Way(Edits(loop={"finish": finish}), right, wrong)


def _own_only(own: Tensor, from_next: Tensor) -> Tensor:
    return own


def _final_in_last_step(given: Upstream) -> Upstream:
    """Add the gradients of the final state to those of the last step."""
    h, c = given.h.clone(), given.c.clone()
    h[-1] += given.final_h
    c[-1] += given.final_c
    zero = torch.zeros_like(given.final_h)
    return Upstream(h, c, zero, zero)


@mistake(
    "hidden-gradient-not-carried",
    why="the gradient of h does not pass from a step to the step before it",
    fix="add the dh that the next step returned to the gradient of this step's output",
)
def hidden_gradient_not_carried(variant: ForwardVariant) -> Iterator[Way]:
    right, wrong = "dh' = dout[t] + dh_next", "dh' = dout[t]"
    yield _loop(right, wrong, add_hidden=_own_only, upstream=_final_in_last_step)
    yield _loop(right, wrong, add_hidden=_own_only)


@mistake(
    "cell-gradient-not-carried",
    kinds=("lstm",),
    why="the gradient of c does not pass from a step to the step before it",
    fix="pass the dc that the next step returned to this step",
)
def cell_gradient_not_carried(variant: ForwardVariant) -> Iterator[Way]:
    right, wrong = "dc' = dc_next", "dc' = 0 at every step but the last"
    yield _loop(right, wrong, add_cell=_own_only, upstream=_final_in_last_step)


@mistake(
    "subtracted-over-time",
    why="the gradient from the next step is subtracted",
    fix="add the dh that the next step returned to the gradient of this step's output",
)
def subtracted_over_time(variant: ForwardVariant) -> Iterator[Way]:
    right = "dh' = dout[t] + dh_next"
    for wrong, add in (
        ("dh' = dout[t] - dh_next", lambda own, from_next: own - from_next),
        ("dh' = dh_next - dout[t]", lambda own, from_next: from_next - own),
    ):
        yield _loop(right, wrong, add_hidden=add)


@mistake(
    "overwritten-over-time",
    why="only one time step contributes to the gradient of a parameter",
    fix="add the gradients of all steps: dW += ..., not dW = ...",
)
def overwritten_over_time(variant: ForwardVariant) -> Iterator[Way]:
    def overwrite(prefixes: tuple[str, ...]) -> Callable[..., Tensor]:
        def accumulate(name: str, total: Tensor, step: Tensor) -> Tensor:
            return step if name.startswith(prefixes) else total + step

        return accumulate

    groups = {
        "dW_ih": ("dW_i",),
        "dW_hh": ("dW_h",),
        "db": ("db_i", "db_h"),
        "dW_ih and dW_hh": ("dW_",),
        "dW_ih, dW_hh and db": ("dW_", "db_"),
        "db_hh": ("db_h",),
        "db_ih": ("db_i",),
    }
    for name, prefixes in groups.items():
        yield _loop(
            f"{name} += the gradient of step t",
            f"{name} = the gradient of step t",
            accumulate=overwrite(prefixes),
        )


@mistake(
    "first-processed-step-only",
    why="only the last time step contributes to the gradient of a parameter",
    fix="add the gradients of all steps inside the loop",
)
def first_processed_step_only(variant: ForwardVariant) -> Iterator[Way]:
    yield _loop(
        "dW += the gradient of step t",
        "dW = the gradient of step T-1",
        accumulate=lambda name, total, step: total,
    )


@mistake(
    "earlier-outputs-ignored",
    why="only the gradient of the last output is used, so the loss of earlier steps is lost",
    fix="add dout[t] at every step t",
)
def earlier_outputs_ignored(variant: ForwardVariant) -> Iterator[Way]:
    def only_last(given: Upstream) -> Upstream:
        h, c = torch.zeros_like(given.h), torch.zeros_like(given.c)
        h[-1], c[-1] = given.h[-1], given.c[-1]
        return replace(given, h=h, c=c)

    yield _loop("dh' = dout[t] + dh_next", "dh' = dh_next, except at t = T-1", upstream=only_last)


@mistake(
    "output-gradient-ignored",
    why="only the gradient of the final state is used",
    fix="add dout[t] at every step t",
)
def output_gradient_ignored(variant: ForwardVariant) -> Iterator[Way]:
    yield _loop(
        "dh' = dout[t] + dh_next",
        "dh' = dh_next",
        upstream=lambda given: replace(given, h=torch.zeros_like(given.h)),
    )


@mistake(
    "final-state-gradient-ignored",
    why="the gradient of the final state is not used",
    fix="begin the loop with dh_next and dc_next equal to the gradients of the final state",
)
def final_state_gradient_ignored(variant: ForwardVariant) -> Iterator[Way]:
    def without(*names: str) -> Callable[[Upstream], Upstream]:
        def upstream(given: Upstream) -> Upstream:
            zeros = {f"final_{n}": torch.zeros_like(getattr(given, f"final_{n}")) for n in names}
            return replace(given, **zeros)

        return upstream

    for names in (("h",), ("c",), ("h", "c"))[: 3 if variant.kind == "lstm" else 1]:
        right = "; ".join(f"d{n}_next = d{n}_final at the start" for n in names)
        wrong = "; ".join(f"d{n}_next = 0 at the start" for n in names)
        yield _loop(right, wrong, upstream=without(*names))


@mistake(
    "loop-in-wrong-direction",
    why="the loop of the backward pass runs forward in time",
    fix="run it from the last step to the first: for t in reversed(range(T))",
)
def loop_in_wrong_direction(variant: ForwardVariant) -> Iterator[Way]:
    yield _loop("for t in reversed(range(T))", "for t in range(T)", order=range)


def _divided(names: tuple[str, ...], axis: Callable[[Tensors], int]) -> Finish:
    def finish(gradients: Tensors, steps: Sequence[Environment], letters: str) -> Tensors:
        size = axis(gradients)
        return gradients | {name: gradients[name] / size for name in names}

    return finish


def _scaled(factor: float, *names: str) -> Finish:
    def finish(gradients: Tensors, steps: Sequence[Environment], letters: str) -> Tensors:
        return gradients | {name: factor * gradients[name] for name in names}

    return finish


WEIGHTS = ("weight_ih", "weight_hh")
BIASES = ("bias_ih", "bias_hh")


@mistake(
    "averaged-over-batch",
    why="the gradient of a sum over samples is the sum of their gradients, not the mean",
    fix="remove the division by the batch size; the loss contains it if it is a mean",
)
def averaged_over_batch(variant: ForwardVariant) -> Iterator[Way]:
    for text, names in {"dW and db": WEIGHTS + BIASES, "db": BIASES, "dW": WEIGHTS}.items():
        finish = _divided(names, lambda gradients: gradients["h"].shape[0])
        yield _returned(f"{text}: sum over the batch", f"{text}: mean over the batch", finish)


@mistake(
    "averaged-over-time",
    why="the gradient of a parameter is the sum over all time steps, not the mean",
    fix="remove the division by the number of steps",
)
def averaged_over_time(variant: ForwardVariant) -> Iterator[Way]:
    for text, names in {"dW and db": WEIGHTS + BIASES, "db": BIASES, "dW": WEIGHTS}.items():
        finish = _divided(names, lambda gradients: gradients["x"].shape[0])
        yield _returned(f"{text}: sum over the steps", f"{text}: mean over the steps", finish)


@mistake(
    "swapped-gradients",
    why="two gradients of the same shape are returned in each other's place",
    fix="return the gradients in the order of the arguments of the forward pass",
)
def swapped_gradients(variant: ForwardVariant) -> Iterator[Way]:
    def swapped(first: str, second: str) -> Finish:
        def finish(gradients: Tensors, steps: Sequence[Environment], letters: str) -> Tensors:
            return gradients | {first: gradients[second], second: gradients[first]}

        return finish

    pairs = {"lstm": [("h", "c")], "gru": [("bias_ih", "bias_hh")]}
    for first, second in pairs.get(variant.kind, []):
        right, wrong = f"return d{first}, d{second}", f"return d{second}, d{first}"
        yield _returned(right, wrong, swapped(first, second))


@mistake(
    "gradient-is-zero",
    why="a gradient is returned as zero or as None",
    fix="compute and return the gradient of every input that requires one",
)
def gradient_is_zero(variant: ForwardVariant) -> Iterator[Way]:
    states = ("h", "c") if variant.kind == "lstm" else ("h",)
    for name in (*states, "x", *WEIGHTS, *BIASES):
        yield _returned(f"return d{name}", f"return 0 for d{name}", _scaled(0, name))


@mistake(
    "doubled-gradient",
    why="a contribution is added twice",
    fix="add the contribution of each step once",
)
def doubled_gradient(variant: ForwardVariant) -> Iterator[Way]:
    for text, names in {"dW and db": WEIGHTS + BIASES, "db": BIASES, "dW": WEIGHTS}.items():
        yield _returned(text, f"2 * ({text})", _scaled(2, *names))
    for name in WEIGHTS:
        yield _returned(f"d{name}", f"2 * d{name}", _scaled(2, name))


def _flat(step: Environment, letters: str) -> Tensor:
    """The gradients of all pre-activations side by side, as in the user's weights, (B, G*H)."""
    return torch.cat([step[f"da_{letter}"] for letter in letters], dim=-1)


@mistake(
    "bias-summed-over-wrong-axis",
    why="the gradient of a bias is summed over the features instead of over the batch",
    fix="sum over the axis of the samples, so that the result has the shape of the bias",
)
def bias_summed_over_wrong_axis(variant: ForwardVariant) -> Iterator[Way]:
    def finish(gradients: Tensors, steps: Sequence[Environment], letters: str) -> Tensors:
        shape = gradients["bias_ih"].shape
        total = torch.stack([_flat(step, letters).sum(1) for step in steps]).sum(0)
        if total.numel() != shape.numel():
            return gradients
        order = [letters.index(letter) for letter in variant.letters]
        return gradients | dict.fromkeys(BIASES, total.reshape(shape)[order])

    yield _returned("db = da.sum(0)", "db = da.sum(1)", finish)
    gates = variant.letters if len(variant.letters) > 1 else ""
    right = equations_of(variant)
    changes = {
        name: tuple(replace(term, operator="sum over the features") for term in right[name])
        for gate in gates
        for name in (f"db_i{gate}", f"db_h{gate}")
    }
    for gate in gates:
        names = (f"db_i{gate}", f"db_h{gate}")
        yield rewrite(variant, {name: changes[name] for name in names})
    yield rewrite(variant, changes)


@mistake(
    "untransposed-input-weight",
    why="the forward pass multiplies x by a matrix, and the backward pass by its transpose",
    fix="use the transpose of the matrix that the forward pass uses",
)
def untransposed_input_weight(variant: ForwardVariant) -> Iterator[Way]:
    def finish(gradients: Tensors, steps: Sequence[Environment], letters: str) -> Tensors:
        weight = torch.cat([steps[0][f"W_i{letter}"] for letter in letters])
        if weight.shape[0] != weight.shape[1]:
            return gradients
        return gradients | {"x": torch.stack([_flat(step, letters) @ weight.T for step in steps])}

    yield _returned("dx = da @ W_ih", "dx = da @ W_ih.T", finish)
    wrong = dx = equations_of(variant)["dx"]
    for letter in variant.letters:
        weight = f"W_i{letter}"
        yield rewrite(variant, {"dx": with_factor(dx, weight, f"{weight}.T")})
        wrong = with_factor(wrong, weight, f"{weight}.T")
    yield rewrite(variant, {"dx": wrong})


@mistake(
    "transposed-weight-gradient",
    why="the gradient of a weight is the transpose of the right one",
    fix="exchange and transpose the factors: (da.T @ h).T = h.T @ da",
)
def transposed_weight_gradient(variant: ForwardVariant) -> Iterator[Way]:
    def transposed(*names: str) -> Finish:
        def finish(gradients: Tensors, steps: Sequence[Environment], letters: str) -> Tensors:
            return gradients | {
                name: _transpose(gradients[name], letters, variant) for name in names
            }

        return finish

    for names in (("weight_hh",), ("weight_ih",), WEIGHTS):
        text = " and ".join(f"d{name}" for name in names)
        yield _returned(text, f"the transpose of {text}", transposed(*names))


def _transpose(gradient: Tensor, letters: str, variant: ForwardVariant) -> Tensor:
    """Of the gradient stacked in the user's order if it is square, else of every gate's."""
    gates, rows, columns = gradient.shape
    if gates * rows == columns:
        to_user = [variant.letters.index(letter) for letter in letters]
        to_torch = [letters.index(letter) for letter in variant.letters]
        stacked = gradient[to_user].reshape(columns, columns)
        return stacked.T.reshape(gradient.shape)[to_torch]
    return gradient.transpose(-1, -2) if rows == columns else gradient


SEQUENCE_MISTAKES: tuple[BackwardMistake, ...] = (
    hidden_gradient_not_carried,
    cell_gradient_not_carried,
    subtracted_over_time,
    overwritten_over_time,
    first_processed_step_only,
    earlier_outputs_ignored,
    output_gradient_ignored,
    final_state_gradient_ignored,
    loop_in_wrong_direction,
    averaged_over_time,
)
"""Only in the backward pass of a sequence."""

RETURNED_MISTAKES: tuple[BackwardMistake, ...] = (
    averaged_over_batch,
    swapped_gradients,
    gradient_is_zero,
    doubled_gradient,
    bias_summed_over_wrong_axis,
    untransposed_input_weight,
    transposed_weight_gradient,
)
