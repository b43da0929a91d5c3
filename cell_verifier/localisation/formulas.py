"""Say what an operation computes: a small formula over the terms of torch.nn's equations."""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from cell_verifier.localisation.terms import Term

FACTORS = (0.5, 2.0, -1.0, 0.1, 0.9)
"""Constant factors that are tried."""

BATCH = 256
"""Formulas that are compared at once: of values as small as these, one comparison takes longer than
their computation."""


def formula_of(values: Tensor, terms: tuple[Term, ...]) -> str:
    """The shortest formula for ``values`` (T, B, H), or "" if none is found."""
    same_width = [each for each in terms if each.values.shape == values.shape]
    for level in (_one_term, _one_change, _two_terms, _two_products):
        found = _first(values, level(same_width))
        if found:
            return found
    return ""


Formulas = Iterator[tuple[str, Tensor]]


def _first(values: Tensor, formulas: Formulas) -> str:
    tolerance = 1e-9 if values.dtype == torch.float64 else 1e-5
    scale = max(1.0, float(values.abs().max()))
    while batch := list(islice(formulas, BATCH)):
        candidates = torch.stack([candidate for _, candidate in batch])
        equal = (candidates - values).abs().flatten(1).amax(1) <= tolerance * scale
        if equal.any():
            return batch[int(equal.nonzero()[0])][0]
    return ""


def _one_term(terms: list[Term]) -> Formulas:
    yield from ((term.name, term.values) for term in terms)


def _one_change(terms: list[Term]) -> Formulas:
    for term in terms:
        name = _in_brackets(term.name)
        yield f"1 - {name}", 1 - term.values
        yield f"-{name}", -term.values
        yield f"{name} + 1", term.values + 1
        for text, function in ACTIVATIONS:
            yield f"{text}({term.name})", function(term.values)
            yield f"{text}({text}({term.name}))", function(function(term.values))
        for factor in FACTORS:
            yield f"{factor:g} {name}", factor * term.values
        yield f"{term.name} of the step before", term.values.roll(1, 0)


def _two_terms(terms: list[Term]) -> Formulas:
    parts = [*_short(terms)]
    changed = [*parts, *((f"(1 - {n})", 1 - v) for n, v in parts if len(n) == 1)]
    for text, function in ACTIVATIONS:
        changed += [(f"{text}({n})", function(v)) for n, v in parts if len(n) < 4]
    for n, (name, values) in enumerate(changed):
        for other, more in changed[n:]:
            first, second = sorted((name, other), key=_factor_order)
            yield f"{first} ⊙ {second}", values * more
            yield f"{name} + {other}", values + more
            yield f"{name} - {other}", values - more
            yield f"{other} - {name}", more - values
            for factor in FACTORS:
                yield f"{name} + {factor:g} {_in_brackets(other)}", values + factor * more
                yield f"{factor:g} {_in_brackets(name)} + {other}", factor * values + more


def _two_products(terms: list[Term]) -> Formulas:
    parts = [(n, v) for n, v in _short(terms) if len(n) <= 2 or n.startswith("1 -")]
    parts = [(_in_brackets(n), v) for n, v in parts if not n.startswith("x")]
    pairs = [(n, m) for n in range(len(parts)) for m in range(n, len(parts))]
    products = [
        (
            " ⊙ ".join(sorted((parts[n][0], parts[m][0]), key=_factor_order)),
            parts[n][1] * parts[m][1],
        )
        for n, m in pairs
    ]
    products += parts
    for n, (name, values) in enumerate(products):
        for other, more in products[n:]:
            yield f"{name} + {other}", values + more
            yield f"{name} - {other}", values - more
            yield f"{other} - {name}", more - values


def _short(terms: list[Term]) -> list[tuple[str, Tensor]]:
    """The terms with a short name, and both parts of the GRU's candidate."""
    return [
        (_in_brackets(term.name) if term.name in CANDIDATE else term.name, term.values)
        for term in terms
        if "W_" not in term.name or "+" not in term.name or term.name in CANDIDATE
    ]


def _factor_order(name: str) -> tuple[int, bool]:
    """Gates before states, short factors before long ones."""
    return len(name), name in ("h", "c", "x")


def _in_brackets(name: str) -> str:
    return f"({name})" if " " in name and not name.startswith("(") else name


CANDIDATE = ("W_in x + b_in", "W_hn h + b_hn")
"""The two parts of the GRU's candidate, of which r multiplies the second."""

ACTIVATIONS = (
    ("tanh", torch.tanh),
    ("σ", torch.sigmoid),
    ("relu", torch.relu),
    ("hardtanh", torch.nn.functional.hardtanh),
    ("hardsigmoid", torch.nn.functional.hardsigmoid),
    ("softmax", lambda values: torch.softmax(values, -1)),
    ("sin", torch.sin),
)
