"""Say what an operation computes: a small formula over the terms of torch.nn's equations."""

from collections.abc import Callable, Iterator
from itertools import chain, combinations_with_replacement, islice

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
    return (
        _first(values, _one_term(same_width))
        or _first(values, _one_change(same_width))
        or _first_of_pairs(values, _changed_terms(same_width), PRODUCTS_AND_SUMS)
        or _first_of_pairs(values, _products(same_width), SUMS)
    )


Formulas = Iterator[tuple[str, Tensor]]
Join = tuple[Callable[[str, str], str], Callable[[Tensor, Tensor], Tensor]]
"""How a formula joins the names of two parts, and how it joins their values."""


def _first(values: Tensor, formulas: Formulas) -> str:
    while batch := list(islice(formulas, BATCH)):
        equal = _equal(torch.stack([candidate for _, candidate in batch]), values)
        if equal.any():
            return batch[int(equal.nonzero()[0])][0]
    return ""


def _first_of_pairs(
    values: Tensor, parts: list[tuple[str, Tensor]], joins: tuple[Join, ...]
) -> str:
    """The first formula that joins two of ``parts`` (or one with itself), the first part first."""
    if not parts:
        return ""
    stacked = torch.stack([part for _, part in parts])
    for n, (name, part) in enumerate(parts):
        rest = stacked[n:]
        equal = torch.stack([_equal(compute(part, rest), values) for _, compute in joins], 1)
        if equal.any():
            other, join = map(int, equal.nonzero()[0])
            join_names, _ = joins[join]
            return join_names(name, parts[n + other][0])
    return ""


def _equal(candidates: Tensor, values: Tensor) -> Tensor:
    """Which of the candidates along the first axis equal ``values``."""
    tolerance = 1e-9 if values.dtype == torch.float64 else 1e-5
    scale = max(1.0, float(values.abs().max()))
    return (candidates - values).abs().flatten(1).amax(1) <= tolerance * scale


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


def _changed_terms(terms: list[Term]) -> list[tuple[str, Tensor]]:
    """The terms with a short name, 1 minus a gate, and activations of either."""
    parts = _short(terms)
    changed = [*parts, *((f"(1 - {n})", 1 - v) for n, v in parts if len(n) == 1)]
    for text, function in ACTIVATIONS:
        changed += [(f"{text}({n})", function(v)) for n, v in parts if len(n) < 4]
    return changed


def _products(terms: list[Term]) -> list[tuple[str, Tensor]]:
    """The products of two gates or states, then these alone."""
    parts = [(n, v) for n, v in _short(terms) if len(n) <= 2 or n.startswith("1 -")]
    parts = [(_in_brackets(n), v) for n, v in parts if not n.startswith("x")]
    pairs = combinations_with_replacement(parts, 2)
    return [*((_product(n, m), v * w) for (n, v), (m, w) in pairs), *parts]


def _product(name: str, other: str) -> str:
    return " ⊙ ".join(sorted((name, other), key=_factor_order))


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


def _with_factor(factor: float) -> tuple[Join, Join]:
    """The sum of two parts, one of them with a constant factor."""
    return (
        (lambda n, m: f"{n} + {factor:g} {_in_brackets(m)}", lambda v, w: v + factor * w),
        (lambda n, m: f"{factor:g} {_in_brackets(n)} + {m}", lambda v, w: factor * v + w),
    )


SUMS: tuple[Join, ...] = (
    (lambda n, m: f"{n} + {m}", lambda v, w: v + w),
    (lambda n, m: f"{n} - {m}", lambda v, w: v - w),
    (lambda n, m: f"{m} - {n}", lambda v, w: w - v),
)
PRODUCTS_AND_SUMS: tuple[Join, ...] = (
    (_product, torch.mul),
    *SUMS,
    *chain.from_iterable(map(_with_factor, FACTORS)),
)
