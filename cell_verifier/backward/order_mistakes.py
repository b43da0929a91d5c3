"""Mistakes in the order in which the gradients of the gates are joined."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

from cell_verifier.backward.derivation import Expression, ForwardVariant, equations_of
from cell_verifier.backward.mistake import BackwardMistake, Way, mistake
from cell_verifier.backward.passes import Edits

SIDES = {"both": ("i", "h"), "of x": ("i",), "of h": ("h",)}


@mistake(
    "joined-in-wrong-order",
    kinds=("gru", "lstm"),
    why="the gradients of the gates are joined in another order than the rows of the weights",
    fix="join them in the order in which the forward pass takes the gates apart",
)
def joined_in_wrong_order(variant: ForwardVariant) -> Iterator[Way]:
    letters = variant.letters
    for order in itertools.permutations(letters):
        if "".join(order) != letters:
            yield from _ways(variant, dict(zip(letters, order, strict=True)))


@mistake(
    "joined-twice",
    kinds=("gru", "lstm"),
    why="the gradient of one gate is joined in the place of another one too",
    fix="join the gradient of each gate once",
)
def joined_twice(variant: ForwardVariant) -> Iterator[Way]:
    for gate, other in itertools.permutations(variant.letters, 2):
        yield from _ways(variant, {gate: other})


def _ways(variant: ForwardVariant, used: Mapping[str, str]) -> Iterator[Way]:
    """``used``: the gate whose gradient is in the place of another."""
    if variant.reset_first:  # no gradient of h is joined: the candidate's is multiplied by r
        return
    text = ", ".join(f"da_{used.get(gate, gate)} for da_{gate}" for gate in used)
    for side, letters in SIDES.items():
        equations: dict[str, Expression] = {}
        for letter in letters:
            equations |= _of_side(variant, letter, used)
        where = "" if side == "both" else f", in the gradients {side}"
        right = f"the gradient of each gate in its own rows{where}"
        yield Way(Edits(equations=equations), right, f"{text}{where}")


def _of_side(variant: ForwardVariant, side: str, used: Mapping[str, str]) -> dict[str, Expression]:
    """The equations with W_i or W_h, and with other gates' gradients."""
    right = equations_of(variant)
    own = {gate: _factor(right[f"db_{side}{gate}"]) for gate in variant.letters}
    total = "dx" if side == "i" else "dh"
    changed: dict[str, Expression] = {total: right[total]}
    for gate, other in used.items():
        weight = f"W_{side}{gate}"
        changed[total] = tuple(
            replace(term, factors=(own[other], weight)) if weight in term.factors else term
            for term in changed[total]
        )
        (outer,) = right[f"dW_{side}{gate}"]
        factors = (f"{own[other]}.T", outer.factors[1])
        changed[f"dW_{side}{gate}"] = (replace(outer, factors=factors),)
        (total_bias,) = right[f"db_{side}{gate}"]
        changed[f"db_{side}{gate}"] = (replace(total_bias, factors=(own[other],)),)
    return changed


def _factor(expression: Expression) -> str:
    return expression[0].factors[0]


MISTAKES: tuple[BackwardMistake, ...] = (joined_in_wrong_order, joined_twice)
