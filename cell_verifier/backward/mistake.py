"""What a mistake in a backward pass is, and how its ways are written."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from cell_verifier.backward.derivation import (
    Equations,
    Expression,
    ForwardVariant,
    Term,
    equations_of,
    text_of,
)
from cell_verifier.backward.passes import Edits
from cell_verifier.mistakes.mistake import ALL_KINDS


@dataclass(frozen=True)
class Way:
    """One way to make a mistake: what it changes, the right and the wrong line."""

    edits: Edits
    right: str
    wrong: str


@dataclass(frozen=True)
class BackwardMistake:
    """A known mistake in a backward pass.

    Attributes:
        id: its name in the report.
        kinds: the recurrences in which it can be made.
        why: one sentence on its effect.
        fix: what to change.
        ways: every way to make it.
    """

    id: str
    kinds: tuple[str, ...]
    why: str
    fix: str
    ways: Callable[[ForwardVariant], Iterator[Way]]


@dataclass(frozen=True)
class Candidate:
    """A mistake made in one particular way."""

    mistake: BackwardMistake
    way: Way

    @property
    def edits(self) -> Edits:
        return self.way.edits


def mistake(
    id: str, *, kinds: tuple[str, ...] = ALL_KINDS, why: str, fix: str
) -> Callable[[Callable[[ForwardVariant], Iterator[Way]]], BackwardMistake]:
    """Decorator: turn a function that yields every way into a ``BackwardMistake``."""

    def define(ways: Callable[[ForwardVariant], Iterator[Way]]) -> BackwardMistake:
        return BackwardMistake(id, kinds, why, fix, ways)

    return define


def rewrite(variant: ForwardVariant, changes: Equations) -> Way:
    """The way that replaces these equations."""
    right = equations_of(variant)
    return Way(
        Edits(equations=dict(changes)),
        "; ".join(text_of(name, right[name]) for name in changes),
        "; ".join(text_of(name, wrong) for name, wrong in changes.items()),
    )


def each_and_all(variant: ForwardVariant, changes: Equations) -> Iterator[Way]:
    """Every change alone, then all of them together."""
    for name, wrong in changes.items():
        yield rewrite(variant, {name: wrong})
    if len(changes) > 1:
        yield rewrite(variant, changes)


def without_factors(expression: Expression, *names: str) -> Expression:
    """The terms without these factors, in their elementwise products."""
    return tuple(
        replace(term, factors=tuple(part for part in term.factors if part not in names))
        if term.operator == "⊙"
        else term
        for term in expression
    )


def with_factor(expression: Expression, old: str, new: str) -> Expression:
    """The terms with one factor replaced by another."""
    return tuple(
        replace(term, factors=tuple(new if part == old else part for part in term.factors))
        for term in expression
    )


def without_term(expression: Expression, index: int) -> Expression:
    """The sum without one of its terms."""
    return expression[:index] + expression[index + 1 :]


def negated(expression: Expression) -> Expression:
    """The expression with the opposite sign."""
    return tuple(replace(term, sign=-term.sign) for term in expression)


def uses(expression: Expression, name: str) -> bool:
    """Whether a term has this factor, transposed or not."""
    return any(name in (part, part.removesuffix(".T")) for part in factors_of(expression))


def factors_of(expression: Expression) -> Iterator[str]:
    for term in expression:
        yield from term.factors


def product(*factors: str) -> Expression:
    """One elementwise product."""
    return (Term(factors),)
