"""Mistakes in the backward pass of one time step of a GRU, at its reset and update gates."""

from collections.abc import Iterator

from cell_verifier.backward.derivation import ForwardVariant, equations_of
from cell_verifier.backward.mistake import (
    BackwardMistake,
    Way,
    each_and_all,
    mistake,
    negated,
    product,
    rewrite,
    with_factor,
    without_factors,
    without_term,
)


@mistake(
    "missing-direct-path",
    kinds=("gru",),
    why="h' contains h itself, so dh has a term that passes through no weight",
    fix="add dh' ⊙ z to dh",
)
def missing_direct_path(variant: ForwardVariant) -> Iterator[Way]:
    dh = equations_of(variant)["dh"]
    yield rewrite(variant, {"dh": without_term(dh, 0)})
    yield rewrite(variant, {"dh": (*product("dh'"), *dh[1:])})


@mistake(
    "update-gate-sign",
    kinds=("gru",),
    why="the gradient of the update gate has the wrong sign",
    fix="h' = (1-z) ⊙ n + z ⊙ h, so dz = dh' ⊙ (h - n)",
)
def update_gate_sign(variant: ForwardVariant) -> Iterator[Way]:
    yield rewrite(variant, {"dz": negated(equations_of(variant)["dz"])})


@mistake(
    "update-gate-term-missing",
    kinds=("gru",),
    why="z occurs twice in h' = (1-z) ⊙ n + z ⊙ h, and one of the two is missing from dz",
    fix="dz = dh' ⊙ h - dh' ⊙ n",
)
def update_gate_term_missing(variant: ForwardVariant) -> Iterator[Way]:
    dz = equations_of(variant)["dz"]
    for n in range(2):
        yield rewrite(variant, {"dz": without_term(dz, n)})


@mistake(
    "exchanged-update-weights",
    kinds=("gru",),
    why="z and 1-z are exchanged in the backward pass",
    fix="dn has the factor that n has in h', and dh the factor that h has",
)
def exchanged_update_weights(variant: ForwardVariant) -> Iterator[Way]:
    right = equations_of(variant)
    changes = {}
    for name in ("dn", "dh"):
        wrong = "z" if "(1-z)" in right[name][0].factors else "(1-z)"
        changes[name] = (*product("dh'", wrong), *right[name][1:])
    yield from each_and_all(variant, changes)


@mistake(
    "missing-update-factor",
    kinds=("gru",),
    why="the candidate n has a factor in h', which is missing from dn",
    fix="dn = dh' ⊙ (1-z)",
)
def missing_update_factor(variant: ForwardVariant) -> Iterator[Way]:
    yield rewrite(variant, {"dn": product("dh'")})


@mistake(
    "missing-reset-factor",
    kinds=("gru",),
    why="the reset gate scales the recurrent part of the candidate, also in the backward pass",
    fix="multiply by r where the gradient passes to W_hn, b_hn and h",
)
def missing_reset_factor(variant: ForwardVariant) -> Iterator[Way]:
    right = equations_of(variant)
    if not variant.reset_first:
        yield rewrite(variant, {"da_hn": product("da_n")})
        return
    weight = with_factor(right["dW_hn"], "r⊙h", "h")
    yield from each_and_all(variant, {"dh": without_factors(right["dh"], "r"), "dW_hn": weight})


@mistake(
    "reset-gate-factor",
    kinds=("gru",),
    why="the gradient of r has the factor that r is multiplied by in the forward pass",
    fix="the factor is W_hn h + b_hn, or h where r is applied before the matrix product",
)
def reset_gate_factor(variant: ForwardVariant) -> Iterator[Way]:
    if variant.reset_first:
        yield rewrite(variant, {"dr": product("da_n", "h")})
        yield rewrite(variant, {"dr": product("d(r⊙h)", "n_h")})
    else:
        yield rewrite(variant, {"dr": product("da_n", "h")})
        yield rewrite(variant, {"dr": product("dn", "n_h")})


MISTAKES: tuple[BackwardMistake, ...] = (
    missing_direct_path,
    update_gate_sign,
    update_gate_term_missing,
    exchanged_update_weights,
    missing_update_factor,
    missing_reset_factor,
    reset_gate_factor,
)
