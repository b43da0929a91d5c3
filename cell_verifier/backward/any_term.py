"""Mistakes in any term of the derivation, for those that no entry of the catalogue describes.

They are tried after the catalogue, and named by what is wrong with the term.
"""

from collections.abc import Iterator
from dataclasses import replace

from cell_verifier.backward.derivation import (
    Equations,
    Expression,
    ForwardVariant,
    Term,
    equations_of,
)
from cell_verifier.backward.mistake import BackwardMistake, Way, mistake, rewrite, without_term

VALUES = {  # what may be written in place of another factor
    "rnn": ("h", "h'", "dh'"),
    "gru": ("r", "z", "n", "(1-r)", "(1-z)", "h", "h'", "n_h", "dh'"),
    "lstm": ("i", "f", "g", "o", "c", "c'", "tanh(c')", "h", "h'", "dh'", "dc'"),
}
STATES = {"rnn": ("h'",), "gru": ("h'", "n"), "lstm": ("h'", "c", "c'")}


def _edited(expression: Expression, n: int, term: Term) -> Expression:
    return (*expression[:n], term, *expression[n + 1 :])


@mistake(
    "missing-term",
    why="a term is missing from a sum",
    fix="add the missing term",
)
def missing_term(variant: ForwardVariant) -> Iterator[Way]:
    for name, expression in equations_of(variant).items():
        if len(expression) > 1:
            for n in range(len(expression)):
                yield rewrite(variant, {name: without_term(expression, n)})


@mistake("missing-factor", why="a factor is missing from a product", fix="add the missing factor")
def missing_factor(variant: ForwardVariant) -> Iterator[Way]:
    for name, expression in equations_of(variant).items():
        for n, term in enumerate(expression):
            if term.operator == "⊙" and len(term.factors) > 1:
                for k in range(len(term.factors)):
                    rest = term.factors[:k] + term.factors[k + 1 :]
                    wrong = _edited(expression, n, replace(term, factors=rest))
                    yield rewrite(variant, {name: wrong})


@mistake("wrong-sign", why="a term has the wrong sign", fix="change the sign of the term")
def wrong_sign(variant: ForwardVariant) -> Iterator[Way]:
    for name, expression in equations_of(variant).items():
        for n, term in enumerate(expression):
            yield rewrite(variant, {name: _edited(expression, n, replace(term, sign=-term.sign))})
        for n, k, term in _factors(expression):
            if term.factors[k].startswith("(1-"):
                plus = term.factors[k].replace("(1-", "(1+")
                factors = (*term.factors[:k], plus, *term.factors[k + 1 :])
                wrong = _edited(expression, n, replace(term, factors=factors))
                yield rewrite(variant, {name: wrong})


@mistake(
    "added-not-multiplied",
    why="two factors of a product are added",
    fix="multiply them",
)
def added_not_multiplied(variant: ForwardVariant) -> Iterator[Way]:
    equations = equations_of(variant)
    for name, expression in equations.items():
        for inlined in {expression: None, _inlined(equations, expression): None}:
            for n, k, term in _factors(inlined):
                if k > 0:
                    first = replace(term, factors=term.factors[:k])
                    second = replace(term, factors=term.factors[k:], sign=1)
                    wrong = (*inlined[:n], first, second, *inlined[n + 1 :])
                    yield rewrite(variant, {name: wrong})


def _inlined(equations: Equations, expression: Expression) -> Expression:
    """With the product for di in da_i = di ⊙ i ⊙ (1-i), as it is often written in one line."""
    first, *others = expression[0].factors
    if first not in equations or len(equations[first]) > 1 or expression[0].operator != "⊙":
        return expression
    factors = (*equations[first][0].factors, *others)
    return (replace(expression[0], factors=factors), *expression[1:])


@mistake(
    "wrong-factor",
    why="a factor of a product is another value than it should be",
    fix="use the factor of the right line",
)
def wrong_factor(variant: ForwardVariant) -> Iterator[Way]:
    yield from _wrong_elementwise_factors(variant)
    yield from _wrong_matrix_factors(variant)


def _wrong_elementwise_factors(variant: ForwardVariant) -> Iterator[Way]:
    gates = variant.letters if variant.kind != "rnn" else ""
    derivatives = [f"(1-{gate}{power})" for gate in gates for power in ("", "²")]
    values = dict.fromkeys((*VALUES[variant.kind], *derivatives))
    computed: list[str] = []  # elementwise gradients of the lines above
    for name, expression in equations_of(variant).items():
        for n, k, term in _factors(expression):
            for other in (*values, *computed):
                if other not in term.factors:
                    factors = (*term.factors[:k], other, *term.factors[k + 1 :])
                    wrong = _edited(expression, n, replace(term, factors=factors))
                    yield rewrite(variant, {name: wrong})
        if not name.startswith(("dx", "dW_", "db_")):
            computed.append(name)


def _factors(expression: Expression) -> Iterator[tuple[int, int, Term]]:
    """Every factor of an elementwise product: index of the term, of the factor, and the term."""
    for n, term in enumerate(expression):
        if term.operator == "⊙":
            for k in range(len(term.factors)):
                yield n, k, term


def _wrong_matrix_factors(variant: ForwardVariant) -> Iterator[Way]:
    """The weight or the gradient of another gate; another state in a weight's gradient."""
    equations = equations_of(variant)
    names = list(equations)
    for name, expression in equations.items():
        above = set(names[: names.index(name)])
        for n, term in enumerate(expression):
            for factors in _other_matrices(variant, term):
                if factors[0].removesuffix(".T") in above:
                    wrong = _edited(expression, n, replace(term, factors=factors))
                    yield rewrite(variant, {name: wrong})


def _other_matrices(variant: ForwardVariant, term: Term) -> Iterator[tuple[str, ...]]:
    if term.operator == "⊙":
        return
    gradient, *rest = term.factors
    transpose = ".T" if gradient.endswith(".T") else ""
    for gate in variant.letters:
        other = f"da_{gate}{transpose}"
        if other != gradient:
            yield other, *rest
    for part in rest:
        if part.startswith("W_"):
            yield from ((gradient, part[:3] + gate) for gate in variant.letters if part[3] != gate)
        elif part != "x":
            yield from ((gradient, state) for state in STATES[variant.kind])


MISTAKES: tuple[BackwardMistake, ...] = (
    missing_term,
    missing_factor,
    wrong_sign,
    added_not_multiplied,
    wrong_factor,
)
