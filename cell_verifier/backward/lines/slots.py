"""The places of a backward pass whose values can be replaced, and what can replace them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

from cell_verifier.backward.lines.bench import Key
from cell_verifier.backward.lines.instrument import Site
from cell_verifier.backward.lines.terms import GradientTerm

MAX_PER_STEP = 4
"""How often a place that is executed once a gate is executed in a step."""


@dataclass(frozen=True)
class Slot:
    """A place with a value at every time step, or with one value.

    Attributes:
        key: the place.
        site: its expression.
        values: one for each step of the backward pass, the last step in time first; or one.
        offset: the first value's position among all values of the place.
        stride: how many values the place has in a step; 0 for a place outside the loop.
    """

    key: Key
    site: Site
    values: tuple[Tensor, ...]
    offset: int
    stride: int

    def replacements(self, term: GradientTerm, steps: int) -> dict[tuple[Key, int], Tensor]:
        """The term's values in place of all values of this slot, in a sequence of ``steps``."""
        if not self.stride:
            return {(self.key, self.offset): term.values[0]}
        return {
            (self.key, self.offset + n * self.stride): term.values[steps - 1 - n]
            for n in range(steps)
        }

    def accepts(self, term: GradientTerm) -> bool:
        """Whether a term has the shape of the values, and as many."""
        if len(term.values) != len(self.values):
            return False
        return self.values[0].dim() == 0 or term.values[0].shape == self.values[0].shape

    def computes(self, term: GradientTerm) -> bool:
        """Whether the values are those of a term and not all zero."""
        if not self.accepts(term) or not any(bool(value.any()) for value in self.values):
            return False
        pairs = zip(self.values, reversed(term.values), strict=True)
        return all(torch.allclose(got, right, rtol=1e-9, atol=1e-12) for got, right in pairs)


Choice = tuple[tuple[Slot, GradientTerm], ...]
"""The slots that are replaced together, each with its term."""


def slots_of(values: Mapping[Key, list[Tensor]], sites: Sequence[Site], steps: int) -> list[Slot]:
    """Every place with its values, in order of execution."""
    return list(_slots(values, sites, steps))


def _slots(values: Mapping[Key, list[Tensor]], sites: Sequence[Site], steps: int) -> Iterator[Slot]:
    for key, all_values in values.items():
        site = sites[key[0]]
        if site.form == "order":
            continue
        per_step, rest = divmod(len(all_values), steps)
        if steps > 1 and rest == 0 and per_step <= MAX_PER_STEP:
            for n in range(per_step):
                yield Slot(key, site, tuple(all_values[n::per_step]), n, per_step)
        elif len(all_values) <= MAX_PER_STEP:
            yield from (Slot(key, site, (value,), n, 0) for n, value in enumerate(all_values))


def single_choices(slots: Sequence[Slot], terms: Sequence[GradientTerm]) -> Iterator[Choice]:
    """One slot and a term that it does not compute."""
    for slot in slots:
        for term in terms:
            if slot.accepts(term) and not slot.computes(term):
                yield ((slot, term),)


def joint_choices(slots: Sequence[Slot], terms: Sequence[GradientTerm]) -> Iterator[Choice]:
    """One place that is executed once a gate, with the same term of each gate."""
    by_site: dict[int, list[Slot]] = {}
    for slot in slots:
        by_site.setdefault(slot.key[0], []).append(slot)
    families: dict[str, list[GradientTerm]] = {}
    for term in terms:
        if term.family:
            families.setdefault(term.family, []).append(term)
    for together in by_site.values():
        if 1 < len(together) <= MAX_PER_STEP:
            for members in families.values():
                for order in permutations(members, len(together)):
                    pairs = tuple(zip(together, order, strict=True))
                    if all(slot.accepts(term) for slot, term in pairs):
                        yield pairs
