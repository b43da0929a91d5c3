"""What a catalogued mistake is: torch.nn's algebra with a line replaced, and how to mend it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from cell_verifier.reference.equations import Stages, Weights

Where = Literal["step", "edge", "sequence", "square", "stack", "gradient"]
"""``step``: shows in one cell's numbers. ``edge``: where the state goes in and out. ``sequence``:
in a layer of one cell. ``square``: in a layer that runs only with as many steps as samples.
``stack``: only with more layers or directions. ``gradient``: the outputs are right."""

WeightChange = Callable[[Weights], Weights]


@dataclass(frozen=True)
class Change:
    """One way to make a mistake: weights read otherwise, or stages replaced, or both."""

    detail: str = ""
    weights: WeightChange | None = None
    stages: Stages = field(default_factory=dict)
    gate: str = ""


@dataclass(frozen=True)
class Mistake:
    """A catalogued mistake.

    Attributes:
        id: what the report prints.
        kinds: which recurrences it can be made in.
        where: where it shows.
        why: one sentence on what it does.
        right, wrong: the equation, and the likely line in its place.
        fix: what to change.
        changes: every way to make it.
    """

    id: str
    kinds: tuple[str, ...]
    where: Where
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

    def alter(self, weights: Weights) -> Weights:
        return self.change.weights(weights) if self.change.weights else weights


CATALOGUE: dict[str, Mistake] = {}
"""Every mistake by id, in the order in which they are tried."""

ALL = ("rnn", "gru", "lstm")


def mistake(
    id: str,
    where: Where,
    *,
    kinds: tuple[str, ...] = ALL,
    why: str,
    right: str,
    wrong: str,
    fix: str,
) -> Callable[[Callable[[str], Iterator[Change]]], Callable[[str], Iterator[Change]]]:
    """Enter a function, from a kind's name to the ways to make the mistake, in the catalogue."""

    def enter(changes: Callable[[str], Iterator[Change]]) -> Callable[[str], Iterator[Change]]:
        CATALOGUE[id] = Mistake(id, kinds, where, why, right, wrong, fix, changes)
        return changes

    return enter


def variants(kind: str, *where: Where) -> list[Variant]:
    """Every way to make every mistake of a kind that shows in one of these places."""
    return [
        Variant(each, change)
        for each in CATALOGUE.values()
        if kind in each.kinds and each.where in where
        for change in each.changes(kind)
    ]


def stages_of(made: tuple[Variant, ...]) -> Stages:
    """The stages that mistakes made together replace."""
    return {name: stage for each in made for name, stage in each.change.stages.items()}


def weights_of(made: tuple[Variant, ...], weights: Weights) -> Weights:
    """The weights as a cell with these mistakes reads them."""
    for each in made:
        weights = each.alter(weights)
    return weights


def compatible(first: Variant, second: Variant) -> bool:
    """Whether two mistakes can be made together: not one line replaced twice, nor one id twice."""
    shared = first.change.stages.keys() & second.change.stages.keys()
    return not shared and first.id != second.id
