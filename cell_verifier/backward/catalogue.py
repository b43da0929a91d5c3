"""The catalogue of mistakes in backward passes, in the order in which the search tries them."""

from functools import cache

from cell_verifier.backward import (
    any_term,
    gru_mistakes,
    loop_mistakes,
    order_mistakes,
    returned_mistakes,
    step_mistakes,
)
from cell_verifier.backward.derivation import ForwardVariant
from cell_verifier.backward.mistake import BackwardMistake, Candidate

STEP_CATALOGUE = {
    each.id: each
    for each in (
        *step_mistakes.MISTAKES,
        *gru_mistakes.MISTAKES,
        *order_mistakes.MISTAKES,
        *returned_mistakes.MISTAKES,
    )
}
"""Known mistakes by id: those that can be made in the backward pass of a single time step."""

CATALOGUE: dict[str, BackwardMistake] = {
    **{each.id: each for each in loop_mistakes.MISTAKES},
    **STEP_CATALOGUE,
}
"""Every known mistake by its id."""

ANY_TERM: dict[str, BackwardMistake] = {each.id: each for each in any_term.MISTAKES}
"""Mistakes in any single term, for what the catalogue does not contain."""


@cache
def candidates(variant: ForwardVariant, is_step: bool) -> tuple[Candidate, ...]:
    """Every way to make every mistake in the backward pass of this recurrence."""
    known = STEP_CATALOGUE if is_step else CATALOGUE
    return tuple(
        Candidate(each, way)
        for each in (*known.values(), *ANY_TERM.values())
        if variant.kind in each.kinds
        for way in each.ways(variant)
    )
