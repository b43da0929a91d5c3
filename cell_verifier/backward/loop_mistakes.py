"""Mistakes in the loop over time of a backward pass."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from cell_verifier.backward.derivation import ForwardVariant
from cell_verifier.backward.mistake import BackwardMistake, Way, mistake
from cell_verifier.backward.passes import Edits, Upstream
from cell_verifier.backward.returned_mistakes import BIASES, WEIGHTS, divided, returned


def _loop(right: str, wrong: str, **stages: Callable[..., object]) -> Way:
    """The way that replaces these stages of the loop."""
    return Way(Edits(loop=stages), right, wrong)


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


@mistake(
    "averaged-over-time",
    why="the gradient of a parameter is the sum over all time steps, not the mean",
    fix="remove the division by the number of steps",
)
def averaged_over_time(variant: ForwardVariant) -> Iterator[Way]:
    for text, names in {"dW and db": WEIGHTS + BIASES, "db": BIASES, "dW": WEIGHTS}.items():
        finish = divided(names, lambda gradients: gradients["x"].shape[0])
        yield returned(f"{text}: sum over the steps", f"{text}: mean over the steps", finish)


MISTAKES: tuple[BackwardMistake, ...] = (
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
