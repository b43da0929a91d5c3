"""The catalogue of known mistakes in recurrent cells and layers."""

from cell_verifier.mistakes import layer, step, weights
from cell_verifier.mistakes.mistake import Mistake, Scope, Variant

CATALOGUE: dict[str, Mistake] = {
    each.id: each for each in (*layer.MISTAKES, *step.MISTAKES, *weights.MISTAKES)
}
"""Every mistake by its id, in the order in which the search tries them."""


def variants(kind: str, *scopes: Scope) -> list[Variant]:
    """Every way to make every mistake of these scopes in a recurrence of this kind."""
    return [
        Variant(each, change)
        for each in CATALOGUE.values()
        if kind in each.kinds and each.scope in scopes
        for change in each.changes(kind)
    ]
