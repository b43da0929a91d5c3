"""What a mistake is: torch.nn's equations with a stage or a weight replaced, and its fix."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from cell_verifier.reference.equations import Stages, Weights

Scope = Literal["step", "boundary", "sequence", "square", "multi-layer", "gradient"]
"""Which comparison shows a mistake:

- ``step``: the outputs of one cell;
- ``boundary``: the state that one cell receives from its caller or returns to it;
- ``sequence``: the outputs of a layer of one cell;
- ``square``: a layer that runs only with as many time steps as samples;
- ``multi-layer``: only a layer with more layers or directions, or with dropout;
- ``gradient``: only the gradients; the outputs are correct.
"""

WeightChange = Callable[[Weights], Weights]
ALL_KINDS = ("rnn", "gru", "lstm")


@dataclass(frozen=True)
class Change:
    """One way to make a mistake.

    Attributes:
        detail: which way it is, for the report; empty if there is only one.
        weights: how the weights are read, if the mistake is in that.
        stages: the functions in place of stages of the equations.
        gate: the gate whose line is wrong, if it is one gate's.
        in_pairs: whether it is also tried together with another mistake; false for the rare ones,
            to bound the time of the search.
    """

    detail: str = ""
    weights: WeightChange | None = None
    stages: Stages = field(default_factory=dict)
    gate: str = ""
    in_pairs: bool = True


@dataclass(frozen=True)
class Mistake:
    """A known mistake.

    Attributes:
        id: its name in the report.
        kinds: the recurrences in which it can be made.
        scope: which comparison shows it.
        why: one sentence on its effect.
        right, wrong: the correct equation or line, and the likely one in its place.
        fix: what to change.
        changes: every way to make it, for the name of a kind.
    """

    id: str
    kinds: tuple[str, ...]
    scope: Scope
    why: str
    right: str
    wrong: str
    fix: str
    changes: Callable[[str], Iterator[Change]]


@dataclass(frozen=True)
class Variant:
    """A mistake made in one particular way."""

    mistake: Mistake
    change: Change

    @property
    def id(self) -> str:
        return self.mistake.id


Mistakes = tuple[Variant, ...]
"""Mistakes made together; empty for torch.nn's own equations."""


def mistake(
    id: str,
    scope: Scope,
    *,
    kinds: tuple[str, ...] = ALL_KINDS,
    why: str,
    right: str,
    wrong: str,
    fix: str,
) -> Callable[[Callable[[str], Iterator[Change]]], Mistake]:
    """Decorator: turn a function that yields every way to make a mistake into a ``Mistake``."""

    def define(changes: Callable[[str], Iterator[Change]]) -> Mistake:
        return Mistake(id, kinds, scope, why, right, wrong, fix, changes)

    return define


def stages_of(mistakes: Mistakes) -> Stages:
    """All stages that the mistakes replace."""
    return {name: stage for each in mistakes for name, stage in each.change.stages.items()}


def apply_to_weights(mistakes: Mistakes, weights: Weights) -> Weights:
    """The weights as a cell with these mistakes reads them."""
    for each in mistakes:
        if each.change.weights is not None:
            weights = each.change.weights(weights)
    return weights


def compatible(first: Variant, second: Variant) -> bool:
    """Whether two mistakes can be made together: different ids, and no stage replaced twice."""
    shared = first.change.stages.keys() & second.change.stages.keys()
    return not shared and first.id != second.id
