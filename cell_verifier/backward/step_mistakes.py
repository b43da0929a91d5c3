"""Mistakes in the backward pass of one time step."""

from collections.abc import Iterator

from cell_verifier.backward.derivation import ForwardVariant, equations_of
from cell_verifier.backward.mistake import (
    BackwardMistake,
    Way,
    each_and_all,
    mistake,
    product,
    rewrite,
    uses,
    with_factor,
    without_factors,
    without_term,
)

SIGMOID_GATES = {"rnn": "", "gru": "rz", "lstm": "ifo"}
TANH_OF = {  # kind -> the equations with a derivative of tanh, and the value of that tanh
    "rnn": {"da_h": "h'"},
    "gru": {"da_n": "n"},
    "lstm": {"da_g": "g", "dc'_total": "tanh(c')"},
}


def _tanh_derivatives(variant: ForwardVariant) -> Iterator[tuple[str, str, str]]:
    """Each equation with 1 - tanh²: its name, that factor, and 1 - tanh without the square."""
    for name, value in TANH_OF[variant.kind].items():
        squared = "(1-tanh²(c'))" if value == "tanh(c')" else f"(1-{value}²)"
        yield name, squared, f"(1-{value})"


@mistake(
    "missing-sigmoid-derivative",
    kinds=("gru", "lstm"),
    why="the gradient does not pass through the sigmoid of a gate",
    fix="multiply by s ⊙ (1-s), where s is the gate's value after the sigmoid",
)
def missing_sigmoid_derivative(variant: ForwardVariant) -> Iterator[Way]:
    gates = SIGMOID_GATES[variant.kind]
    yield from each_and_all(variant, {f"da_{s}": product(f"d{s}") for s in gates})


@mistake(
    "partial-sigmoid-derivative",
    kinds=("gru", "lstm"),
    why="one of the two factors of the sigmoid's derivative is missing",
    fix="multiply by both: s ⊙ (1-s)",
)
def partial_sigmoid_derivative(variant: ForwardVariant) -> Iterator[Way]:
    gates = SIGMOID_GATES[variant.kind]
    for pattern in ("{}", "(1-{})"):
        changes = {f"da_{s}": product(f"d{s}", pattern.format(s)) for s in gates}
        yield from each_and_all(variant, changes)


@mistake(
    "missing-tanh-derivative",
    why="the gradient does not pass through a tanh",
    fix="multiply by 1 - t², where t is the value after the tanh",
)
def missing_tanh_derivative(variant: ForwardVariant) -> Iterator[Way]:
    right = equations_of(variant)
    changes = {
        name: without_factors(right[name], squared)
        for name, squared, _ in _tanh_derivatives(variant)
    }
    yield from each_and_all(variant, changes)


@mistake(
    "unsquared-tanh-derivative",
    why="the derivative of tanh is 1 - tanh², not 1 - tanh",
    fix="square the value of the tanh",
)
def unsquared_tanh_derivative(variant: ForwardVariant) -> Iterator[Way]:
    right = equations_of(variant)
    changes = {
        name: with_factor(right[name], squared, plain)
        for name, squared, plain in _tanh_derivatives(variant)
    }
    yield from each_and_all(variant, changes)


@mistake(
    "derivative-of-wrong-value",
    kinds=("lstm",),
    why="the derivative of tanh(c') is computed from another value than tanh(c')",
    fix="use 1 - tanh(c')², with the new cell state",
)
def derivative_of_wrong_value(variant: ForwardVariant) -> Iterator[Way]:
    total = equations_of(variant)["dc'_total"]
    for wrong in ("(1-c'²)", "(1-tanh²(c))"):
        yield rewrite(variant, {"dc'_total": with_factor(total, "(1-tanh²(c'))", wrong)})


@mistake(
    "derivative-of-wrong-activation",
    kinds=("gru", "lstm"),
    why="a sigmoid is differentiated as a tanh, or a tanh as a sigmoid",
    fix="sigmoid: s ⊙ (1-s); tanh: 1 - t²",
)
def derivative_of_wrong_activation(variant: ForwardVariant) -> Iterator[Way]:
    t = "n" if variant.kind == "gru" else "g"
    yield rewrite(variant, {f"da_{t}": product(f"d{t}", t, f"(1-{t})")})
    for s in SIGMOID_GATES[variant.kind]:
        yield rewrite(variant, {f"da_{s}": product(f"d{s}", f"(1-{s}²)")})


@mistake(
    "missing-path-through-cell",
    kinds=("lstm",),
    why="the gradient of h' does not reach c', so i, f and g learn only from dc'",
    fix="add dh' ⊙ o ⊙ (1-tanh²(c')) to dc'",
)
def missing_path_through_cell(variant: ForwardVariant) -> Iterator[Way]:
    yield rewrite(variant, {"dc'_total": product("dc'")})


@mistake(
    "ignored-cell-gradient",
    kinds=("lstm",),
    why="the gradient of c' that the step receives is not used",
    fix="add the received dc' to the gradient that comes through h'",
)
def ignored_cell_gradient(variant: ForwardVariant) -> Iterator[Way]:
    total = equations_of(variant)["dc'_total"]
    yield rewrite(variant, {"dc'_total": without_term(total, 0)})


@mistake(
    "missing-output-gate-factor",
    kinds=("lstm",),
    why="h' = o ⊙ tanh(c'), so the gradient of c' has the factor o",
    fix="multiply by o in the path from h' to c'",
)
def missing_output_gate_factor(variant: ForwardVariant) -> Iterator[Way]:
    total = equations_of(variant)["dc'_total"]
    yield rewrite(variant, {"dc'_total": without_factors(total, "o")})


@mistake(
    "received-cell-gradient-used",
    kinds=("lstm",),
    why="dc' is used before the path through h' is added to it",
    fix="add dh' ⊙ o ⊙ (1-tanh²(c')) to dc' first, and use the sum in every later line",
)
def received_cell_gradient_used(variant: ForwardVariant) -> Iterator[Way]:
    right = equations_of(variant)
    names = ("di", "df", "dg", "dc")
    changes = {name: with_factor(right[name], "dc'_total", "dc'") for name in names}
    yield from each_and_all(variant, changes)


@mistake(
    "missing-forget-factor",
    kinds=("lstm",),
    why="c' = f ⊙ c + i ⊙ g, so the gradient of c has the factor f",
    fix="multiply the gradient of the previous cell state by f",
)
def missing_forget_factor(variant: ForwardVariant) -> Iterator[Way]:
    yield rewrite(variant, {"dc": product("dc'_total")})


@mistake(
    "own-factor-in-product",
    kinds=("lstm",),
    why="the derivative of a product by one factor is the other factor",
    fix="di has the factor g, dg has i, df has c, dc has f",
)
def own_factor_in_product(variant: ForwardVariant) -> Iterator[Way]:
    own = {name: product("dc'_total", name[1:]) for name in ("di", "dg", "df", "dc")}
    yield rewrite(variant, {name: own[name] for name in ("di", "dg")})
    yield rewrite(variant, {name: own[name] for name in ("df", "dc")})
    for name, wrong in own.items():
        yield rewrite(variant, {name: wrong})


@mistake(
    "output-gate-without-tanh",
    kinds=("lstm",),
    why="h' = o ⊙ tanh(c'), so the gradient of o has the factor tanh(c')",
    fix="multiply by tanh(c'), not by c'",
)
def output_gate_without_tanh(variant: ForwardVariant) -> Iterator[Way]:
    yield rewrite(variant, {"do": product("dh'", "c'")})


@mistake(
    "new-state-for-old",
    why="the state after the step is used where the state before it belongs",
    fix="save the previous state for the backward pass, and use it",
)
def new_state_for_old(variant: ForwardVariant) -> Iterator[Way]:
    right = equations_of(variant)
    yield from each_and_all(
        variant,
        {
            name: with_factor(expression, "h", "h'")
            for name, expression in right.items()
            if name.startswith("dW_h") and uses(expression, "h")
        },
    )
    if variant.kind == "gru":
        yield rewrite(variant, {"dz": with_factor(right["dz"], "h", "h'")})
    if variant.kind == "lstm":
        yield rewrite(variant, {"df": with_factor(right["df"], "c", "c'")})


@mistake(
    "gate-left-out",
    kinds=("gru", "lstm"),
    why="every gate depends on x and on h, and one of them is missing from the sum",
    fix="add the term of every gate to dx and to dh",
)
def gate_left_out(variant: ForwardVariant) -> Iterator[Way]:
    right = equations_of(variant)
    for letter in variant.letters:
        changes = {}
        for name, weight in (("dx", f"W_i{letter}"), ("dh", f"W_h{letter}")):
            kept = tuple(term for term in right[name] if weight not in term.factors)
            if len(kept) < len(right[name]):
                changes[name] = kept
        yield from each_and_all(variant, changes)


@mistake(
    "untransposed-weight",
    why="the forward pass multiplies by a matrix, so the backward pass multiplies by its transpose",
    fix="use the transpose of the matrix that the forward pass uses",
)
def untransposed_weight(variant: ForwardVariant) -> Iterator[Way]:
    right = equations_of(variant)
    wrong, direct = right["dh"], "d(r⊙h)"
    for letter in variant.letters:
        weight = f"W_h{letter}"
        if uses(right["dh"], weight):
            one = with_factor(right["dh"], weight, f"{weight}.T")
            yield rewrite(variant, {"dh": one})
            wrong = with_factor(wrong, weight, f"{weight}.T")
    if direct in right:
        yield rewrite(variant, {direct: with_factor(right[direct], "W_hn", "W_hn.T")})
    if len(variant.letters) > 1:
        yield rewrite(variant, {"dh": wrong})


MISTAKES: tuple[BackwardMistake, ...] = (
    missing_sigmoid_derivative,
    partial_sigmoid_derivative,
    missing_tanh_derivative,
    unsquared_tanh_derivative,
    derivative_of_wrong_value,
    derivative_of_wrong_activation,
    missing_path_through_cell,
    ignored_cell_gradient,
    missing_output_gate_factor,
    received_cell_gradient_used,
    missing_forget_factor,
    own_factor_in_product,
    output_gate_without_tanh,
    new_state_for_old,
    gate_left_out,
    untransposed_weight,
)
