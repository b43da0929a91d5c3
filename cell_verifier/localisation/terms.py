"""Every term of torch.nn's equations, for given weights, input and state."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, permutations

import torch
from torch import Tensor

from cell_verifier.reference.equations import Weights, affine, product
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import Probe

Named = dict[str, Tensor]


@dataclass(frozen=True)
class Term:
    """One term at every time step.

    Attributes:
        name: its symbol, such as ``f`` or ``i ⊙ g``.
        equation: with its definition, such as ``h' = o ⊙ tanh(c')``.
        values: (T, B, width).
        order: the time steps of the values, if they are not in the order of time.
    """

    name: str
    equation: str
    values: Tensor
    order: tuple[int, ...] = ()


def in_order(term: Term, order: tuple[int, ...]) -> Term:
    """The values of a term at other time steps: at step t those of step ``order[t]``."""
    return replace(term, values=term.values[list(order)], order=order) if order else term


@dataclass(frozen=True)
class Terms:
    """All terms of one run.

    Attributes:
        single: the terms of one width H or I, and concatenations of them.
        families: the same term of several gates, one ``Term`` a gate, in torch.nn's order.
    """

    single: tuple[Term, ...]
    families: tuple[tuple[Term, ...], ...]

    @cached_property
    def all(self) -> tuple[Term, ...]:
        """Every term, those of the families included."""
        return (*self.single, *(term for family in self.families for term in family))

    @cached_property
    def stacked(self) -> tuple[Term, ...]:
        """The terms of several gates next to each other, in torch.nn's order."""
        return tuple(
            _stacked(some)
            for family in self.families
            for count in range(2, len(family) + 1)
            for some in combinations(family, count)
        )

    def arrangements(self, count: int) -> Iterator[tuple[Term, ...]]:
        """The same term of ``count`` gates, in every order, torch.nn's order first."""
        for family in self.families:
            if len(family) >= count:
                yield from permutations(family, count)


def _stacked(family: Sequence[Term]) -> Term:
    names = ", ".join(term.name for term in family)
    return Term(f"[{names}]", f"[{names}]", torch.cat([term.values for term in family], -1))


def compute_terms(kind: Kind, w: Weights, probe: Probe) -> Terms:
    """The terms along torch.nn's own trajectory from the probe's state."""
    state = tuple(part[0] if part.dim() == 3 else part for part in probe.state)
    steps: list[Named] = []
    for x in probe.x:
        named = _gate_terms(kind, w, x, state[0])
        named |= {"x": x, "h": state[0]} | ({"c": state[1]} if len(state) > 1 else {})
        named |= STATE_TERMS[kind.name](named)
        state = tuple(named[part + "'"] for part in kind.state)
        steps.append(named)
    sequences = {name: torch.stack([each[name] for each in steps]) for name in steps[0]}
    families = tuple(_families(kind, sequences))
    in_families = {term.name for family in families for term in family}
    single = [
        Term(name, _equation(kind, name), values)
        for name, values in sequences.items()
        if name not in in_families
    ]
    by_name = {term.name: term for term in single}
    joined = [("x", "h"), ("h", "x"), *(("h", "c"), ("h'", "c'"))[: 2 * len(kind.state) - 2]]
    single += [_stacked([by_name[name] for name in names]) for names in joined]
    return Terms(tuple(single), families)


def _gate_terms(kind: Kind, w: Weights, x: Tensor, h: Tensor) -> Named:
    from_x, from_h = product(w.ih, x), product(w.hh, h)
    whole = affine(w.ih, w.b_ih, x) + affine(w.hh, w.b_hh, h)
    b_ih, b_hh = w.b_ih.unsqueeze(-2), w.b_hh.unsqueeze(-2)
    named: Named = {}
    for n, k in enumerate(kind.letters):
        parts = {
            f"W_i{k} x": from_x,
            f"W_h{k} h": from_h,
            f"W_i{k} x + b_i{k}": from_x + b_ih,
            f"W_h{k} h + b_h{k}": from_h + b_hh,
            f"W_i{k} x + b_i{k} + b_h{k}": from_x + b_ih + b_hh,
            f"W_h{k} h + b_i{k} + b_h{k}": from_h + b_ih + b_hh,
            f"W_i{k} x + W_h{k} h": from_x + from_h,
            f"W_i{k} x + b_i{k} + W_h{k} h": from_x + b_ih + from_h,
            f"W_i{k} x + W_h{k} h + b_h{k}": from_x + from_h + b_hh,
            f"a_{k}": whole,
        }
        named |= {name: values[n] for name, values in parts.items() if _is_legal(kind, k, name)}
    return named


def _is_legal(kind: Kind, gate: str, name: str) -> bool:
    """Whether the term is part of torch.nn's equations: r separates the GRU's candidate."""
    if (kind.name, gate) != ("gru", "n"):
        return True
    return ("W_in" in name) != ("W_hn" in name) and not ("b_in" in name and "b_hn" in name)


def _rnn_terms(t: Named) -> Named:
    return {"h'": torch.tanh(t["a_n"])}


def _gru_terms(t: Named) -> Named:
    r, z = torch.sigmoid(t["a_r"]), torch.sigmoid(t["a_z"])
    recurrent = r * t["W_hn h + b_hn"]
    a_n = t["W_in x + b_in"] + recurrent
    n, h = torch.tanh(a_n), t["h"]
    return {
        "r": r,
        "z": z,
        "r ⊙ (W_hn h + b_hn)": recurrent,
        "r ⊙ (W_hn h + b_hn) + b_in": a_n - t["W_in x"],
        "a_n": a_n,
        "n": n,
        "1 - z": 1 - z,
        "(1 - z) ⊙ n": (1 - z) * n,
        "z ⊙ h": z * h,
        "h - n": h - n,
        "n - h": n - h,
        "z ⊙ (h - n)": z * (h - n),
        "(1 - z) ⊙ (n - h)": (1 - z) * (n - h),
        "h'": (1 - z) * n + z * h,
    }


def _lstm_terms(t: Named) -> Named:
    i, f, o = (torch.sigmoid(t[f"a_{k}"]) for k in "ifo")
    g = torch.tanh(t["a_g"])
    new_c = f * t["c"] + i * g
    return {
        "i": i,
        "f": f,
        "g": g,
        "o": o,
        "f ⊙ c": f * t["c"],
        "i ⊙ g": i * g,
        "c'": new_c,
        "tanh(c')": torch.tanh(new_c),
        "h'": o * torch.tanh(new_c),
    }


STATE_TERMS = {"rnn": _rnn_terms, "gru": _gru_terms, "lstm": _lstm_terms}

EQUATIONS = {
    "rnn": {"h'": "h' = tanh(a_n)"},
    "gru": {
        "r": "r = σ(a_r)",
        "z": "z = σ(a_z)",
        "a_n": "a_n = W_in x + b_in + r ⊙ (W_hn h + b_hn)",
        "n": "n = tanh(a_n)",
        "h'": "h' = (1 - z) ⊙ n + z ⊙ h",
    },
    "lstm": {
        "i": "i = σ(a_i)",
        "f": "f = σ(a_f)",
        "g": "g = tanh(a_g)",
        "o": "o = σ(a_o)",
        "c'": "c' = f ⊙ c + i ⊙ g",
        "h'": "h' = o ⊙ tanh(c')",
    },
}


def _equation(kind: Kind, name: str) -> str:
    if name in EQUATIONS[kind.name]:
        return EQUATIONS[kind.name][name]
    if name.startswith("a_") and len(name) == 3:
        k = name[-1]
        return f"{name} = W_i{k} x + b_i{k} + W_h{k} h + b_h{k}"
    return name


def _families(kind: Kind, sequences: Named) -> Iterator[tuple[Term, ...]]:
    """The same term of each gate, in torch.nn's order of the gates."""
    members: dict[str, list[Term]] = {}
    for name, values in sequences.items():
        for k in kind.letters:
            pattern = name.replace(f"_i{k}", "_i?").replace(f"_h{k}", "_h?")
            pattern = pattern.replace(f"a_{k}", "a_?")
            if name == k or (pattern != name and "⊙" not in name):
                term = Term(name, _equation(kind, name), values)
                members.setdefault("gate" if name == k else pattern, []).append(term)
    yield from (tuple(terms) for terms in members.values())
