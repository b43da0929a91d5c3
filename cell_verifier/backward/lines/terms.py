"""Every term of the derivation in the layout of the user's arrays."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from cell_verifier.backward.derivation import (
    Environment,
    Expression,
    ForwardVariant,
    equations_of,
    evaluate,
    text_of,
)
from cell_verifier.backward.layout import Layout
from cell_verifier.backward.mistake import factors_of
from cell_verifier.backward.passes import PREFIXES, Edits, Tensors
from cell_verifier.backward.subject import Experiment


@dataclass(frozen=True)
class GradientTerm:
    """A term, at every time step or once.

    Attributes:
        name: the left side of its equation: ``df``, ``dW`` for every weight and bias, ``returned``
            for a gradient of the whole sequence, ``stack`` for several gradients side by side.
        equation: what it is, as one line: ``df = dc'_total ⊙ c``.
        values: one for each time step, the first step first; or only one.
        family: a group of terms, one for each gate: ``da``, ``dW``; empty for others.
        is_part: whether it is only a part of the right side, or its transpose.
    """

    name: str
    equation: str
    values: tuple[Tensor, ...]
    family: str = ""
    is_part: bool = False


def terms_of(experiment: Experiment) -> list[GradientTerm]:
    """Every gradient of the derivation, parts of sums, stacked gradients, and sums over time."""
    steps = _computed(experiment)
    layout = experiment.subject.layout
    found = [*_of_equations(steps, layout), *_stacked(steps, layout)]
    found += _of_weights(experiment, steps)
    found += _of_loop(experiment, steps)
    return [
        replace(each, values=tuple(map(torch.Tensor.contiguous, each.values))) for each in found
    ]


def forward_terms(experiment: Experiment) -> list[GradientTerm]:
    """The values of the forward pass that a backward pass uses, and products of two of them."""
    steps, layout = _computed(experiment), experiment.subject.layout
    names = [n for n in steps[0] if not n.startswith(("d", "W_")) and steps[0][n].dim() == 2]
    found = [_term(layout, name, name, [step[name] for step in steps]) for name in names]
    for gate in layout.variant.letters:
        if f"(1-{gate})" in steps[0]:
            values = [step[gate] * step[f"(1-{gate})"] for step in steps]
            found.append(_term(layout, gate, f"{gate} ⊙ (1-{gate})", values, "derivative"))
    return found


def _computed(experiment: Experiment) -> list[Environment]:
    """All values of every step of the backward pass of the derivation."""
    captured: list[Environment] = []

    def finish(gradients: Tensors, steps: Sequence[Environment], letters: str) -> Tensors:
        captured.extend(steps)
        return gradients

    experiment.derivation()(Edits(loop={"finish": finish}))
    return captured


@cache
def ancestors_of(variant: ForwardVariant) -> Mapping[str, frozenset[str]]:
    """For the name of each term: itself, and the names of those from which it is computed."""
    found: dict[str, frozenset[str]] = {"dh'": frozenset({"dh'"}), "dc'": frozenset({"dc'"})}
    for name, expression in equations_of(variant).items():
        if name.startswith(("dW_", "db_")):
            continue
        read = {factor.removesuffix(".T") for factor in factors_of(expression)}
        found[name] = frozenset({name}).union(*(found[each] for each in read & found.keys()))
    everything = frozenset(found)
    found |= {"stack": everything | {"stack"}, "dW": everything | {"stack", "dW"}}
    found["returned"] = everything | {"stack", "dW", "returned"}
    return defaultdict(frozenset, found)


def _term(
    layout: Layout, name: str, equation: str, values: Sequence[Tensor], family: str = ""
) -> GradientTerm:
    """A term of shape (B, ...) at every step."""
    own = [part.transpose(-1, -2) if layout.samples_last else part for part in values]
    return GradientTerm(name, equation, tuple(own), family)


def _of_equations(steps: Sequence[Environment], layout: Layout) -> Iterator[GradientTerm]:
    for name, expression in equations_of(layout.variant).items():
        if name.startswith(("dW_", "db_")):
            continue
        family = "da" if name.startswith("da_") else ""
        values = [step[name] for step in steps]
        yield _term(layout, name, text_of(name, expression), values, family)
        for part in _parts(expression):
            values = [evaluate(part, step) for step in steps]
            text = text_of(name, expression)
            own = _term(layout, name, f"{text}, of which {text_of('', part)[3:]}", values)
            yield replace(own, is_part=True)


def _parts(expression: Expression) -> Iterator[Expression]:
    """Each term of a sum, and the sum without each."""
    if len(expression) > 1:
        yield from ((term,) for term in expression)
        if len(expression) > 2:
            for n in range(len(expression)):
                yield expression[:n] + expression[n + 1 :]
                yield expression[: n + 1]


def _stacked(steps: Sequence[Environment], layout: Layout) -> Iterator[GradientTerm]:
    """The gradients of all pre-activations side by side, and that of a joined input."""
    letters = layout.letters
    if len(letters) > 1:
        names = [f"da_{letter}" for letter in letters]
        yield _joined(steps, layout, names)
        if "da_hn" in steps[0]:
            yield _joined(steps, layout, [n if n != "da_n" else "da_hn" for n in names])
    if any(role.startswith("weight[") or role == "weight" for role in layout.roles):
        order = ("h", "x") if layout.hidden_first else ("x", "h")
        yield _joined(steps, layout, [f"d{part}" for part in order])
        yield _joined(steps, layout, list(order))


def _joined(steps: Sequence[Environment], layout: Layout, names: Sequence[str]) -> GradientTerm:
    values = [torch.cat([step[name] for name in names], dim=-1) for step in steps]
    return _term(layout, "stack", f"[{', '.join(names)}]", values)


def _of_weights(experiment: Experiment, steps: Sequence[Environment]) -> Iterator[GradientTerm]:
    """The gradient of every weight: of a step, summed up to a step, and of the whole sequence."""
    layout = experiment.subject.layout
    own = [_weight_gradients(step, layout.variant.letters) for step in steps]
    for argument, role in zip(experiment.subject.code.names, layout.roles, strict=True):
        if role in ("x", "h", "c"):
            continue
        name = f"d{argument}"
        family = role.partition("[")[0] if "[" in role else ""
        of_step = [layout.to_user(role, each) for each in own]
        total = _summed(of_step)
        right = f"{name} = {_right_side(role, layout)}"
        yield GradientTerm("dW", right, tuple(of_step), family)
        if of_step[0].dim() == 2 and not role.startswith("bias"):
            transposed = tuple(part.transpose(-1, -2) for part in of_step)
            yield GradientTerm("dW", f"{right}, transposed", transposed, is_part=True)
        if len(steps) > 1:
            text = f"{name} += the gradient of step t"
            yield GradientTerm("dW", text, tuple(total), family)
            yield GradientTerm("returned", f"{name} = the sum over all steps", (total[0],))


def _right_side(role: str, layout: Layout) -> str:
    bias = role.startswith("bias")
    gate = role.partition("[")[2].rstrip("]")
    a = f"da_{gate}" if gate else "da"
    if bias:
        return f"the sum of {a} over the batch"
    read = {"weight_ih": "x", "weight_hh": "h"}.get(role.partition("[")[0], "[x, h]")
    return f"{read}.T @ {a}" if layout.columns else f"{a}.T @ {read}"


def _weight_gradients(step: Environment, letters: str) -> Tensors:
    return {
        name: torch.stack([step[prefix + letter] for letter in letters])
        for name, prefix in PREFIXES.items()
    }


def _summed(of_step: Sequence[Tensor]) -> list[Tensor]:
    """For each step t the sum over the steps from the last one to t."""
    return list(torch.stack(list(of_step)).flip(0).cumsum(0).flip(0))


def _of_loop(experiment: Experiment, steps: Sequence[Environment]) -> Iterator[GradientTerm]:
    """The gradients that a step receives, and those that are returned."""
    layout, sequence = experiment.subject.layout, len(steps) > 1
    given = {"h": experiment.upstream.final_h, "c": experiment.upstream.final_c}
    for name in ("h", "c"):
        received = f"d{name}'"
        if received not in steps[0]:
            continue
        text = f"{received} = d{name}_out[t] + d{name}_next" if sequence else received
        yield _term(layout, received, text, [step[received] for step in steps])
        if f"d{name}" not in steps[0]:
            continue
        after = [step[f"d{name}"] for step in steps]
        first = layout.to_user(name, {name: after[0]})
        yield GradientTerm("returned", f"the gradient of {name}_0", (first,))
        if sequence:
            text = f"d{name}_next = the gradient of {name} that the next step returns"
            yield _term(layout, received, text, [*after[1:], given[name]])
            text = f"d{name}_next = the gradient of the final {name}, before the loop"
            yield _term(layout, received, text, [given[name]])
    dx = torch.stack([step["dx"] for step in steps])
    yield GradientTerm("returned", "the gradient of x", (layout.to_user("x", {"x": dx}),))
