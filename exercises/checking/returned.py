"""Which part of a returned value is wrong, and the equation of that part."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from exercises.checking.comparison import same_values
from exercises.checking.explain import equation_at
from exercises.checking.probes import Event, Site

Sites = Mapping[Site, Sequence[Event]]


def equations_of_wrong_parts(
    text: str, pair: tuple[Site, Site], learner: Sites, solution: Sites
) -> str:
    """The equations of the wrong parts, if the learner computes them in the ``return`` statement.

    ``""`` if one of them is a variable: another statement computes it, or the order is wrong.

    Args:
        text: the solution.
        pair: the learner's ``return`` and the solution's.
        learner, solution: the values of all statements.
    """
    wrong = _wrong_parts(pair, learner, solution)
    if any(isinstance(ours, ast.Name) for ours, _ in wrong):
        return ""
    computed_by = (_last_assignment(pair[1], theirs, solution) for _, theirs in wrong)
    return "; ".join(equation_at(text, site) for site in computed_by if site is not None)


def assignments_of_wrong_parts(
    pair: tuple[Site, Site], learner: Sites, solution: Sites
) -> Iterator[tuple[Site, Site]]:
    """The statements that compute the wrong parts of ``return h, c``, with the solution's."""
    for ours, theirs in _wrong_parts(pair, learner, solution):
        site = _last_assignment(pair[0], ours, learner)
        right_site = _last_assignment(pair[1], theirs, solution)
        if site is not None and right_site is not None:
            yield site, right_site


def _wrong_parts(
    pair: tuple[Site, Site], learner: Sites, solution: Sites
) -> list[tuple[ast.expr, ast.expr]]:
    """The expressions of the parts that differ."""
    (site, right_site), (event, right) = pair, (learner[pair[0]][-1], solution[pair[1]][-1])
    ours, theirs = _parts(site.expression), _parts(right_site.expression)
    values, right_values = _values(event.value, ours), _values(right.value, theirs)
    if not len(ours) == len(theirs) == len(values) == len(right_values):
        return []
    everything = zip(ours, theirs, values, right_values, strict=True)
    return [(a, b) for a, b, value, expected in everything if not same_values(value, expected)]


def _parts(expression: ast.expr | None) -> list[ast.expr]:
    if isinstance(expression, ast.Tuple):
        return expression.elts
    return [] if expression is None else [expression]


def _values(value: Any, parts: Sequence[ast.expr]) -> Sequence[Any]:
    if len(parts) == 1:
        return [value]
    return value if isinstance(value, tuple) else []


def _last_assignment(returned: Site, part: ast.expr, sites: Sites) -> Site | None:
    """The last statement of the same function that assigns to the variable ``part``."""
    if not isinstance(part, ast.Name):
        return None
    variable = returned.function, part.id
    return next((each for each in reversed(list(sites)) if each.variable == variable), None)


def returns_variables(site: Site) -> bool:
    """Whether a ``return`` statement contains only names: ``return h_next, c_next``."""
    nodes = ast.walk(site.expression or ast.Pass())
    return all(isinstance(node, ast.Name | ast.Tuple | ast.expr_context) for node in nodes)
