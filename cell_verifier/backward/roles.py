"""Which argument of the user's forward pass is what, from its names and its order."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from cell_verifier.errors import CannotCheckError

ROLES = (
    "x",
    "h",
    "c",
    "weight_ih",
    "weight_hh",
    "weight",
    "bias_ih",
    "bias_hh",
    "bias",
)
"""``weight`` holds both matrices, joined along the input axis; ``bias`` is the only bias."""

NAMES = {  # lower case, without underscores, digits and a "prev" or "next"
    "x": ("x", "xt", "xs", "input", "inputs", "inp", "data", "seq", "sequence"),
    "h": ("h", "ht", "hx", "hidden", "hiddenstate", "a", "s", "oldh", "hold", "hin", "lasth"),
    "c": ("c", "ct", "cx", "cell", "cellstate", "oldcell", "oldc", "cin", "lastc", "memory"),
    "weight_ih": ("wx", "wih", "weightih", "wxh", "weightx", "wax", "kernel", "wi", "win"),
    "weight_hh": ("wh", "whh", "weighthh", "weighth", "waa", "recurrentkernel", "u", "wrec", "r"),
    "weight": ("w", "weight", "weights"),
    "bias_ih": ("bih", "biasih", "bx", "bi"),
    "bias_hh": ("bhh", "biashh", "bh"),
    "bias": ("b", "bias", "biases", "ba"),
}

POSITIONAL = {  # the number of weights and biases -> their usual order
    2: (("weight_ih", "weight_hh"), ("weight", "bias")),
    3: (("weight_ih", "weight_hh", "bias"),),
    4: (("weight_ih", "weight_hh", "bias_ih", "bias_hh"),),
}


def role_of(name: str) -> str | None:
    """The role that a name suggests."""
    plain = re.sub(r"prev(ious)?|next|[_\d]", "", name.lower())
    return next((role for role, names in NAMES.items() if plain in names), None)


def argument_names(forward: Callable[..., Any]) -> list[str]:
    """The names of the arguments that must be given; without the ``ctx`` of a Function."""
    if isinstance(forward, type) and issubclass(forward, torch.autograd.Function):
        parameters = list(inspect.signature(forward.forward).parameters.values())
        if not _has_setup_context(forward):
            parameters = parameters[1:]
    else:
        parameters = list(inspect.signature(forward).parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        each.name
        for each in parameters
        if each.kind in positional and each.default is inspect.Parameter.empty
    ]


def _has_setup_context(function: Any) -> bool:
    return function.setup_context is not torch.autograd.Function.setup_context


def possible_roles(
    names: Sequence[str], kind: str, given: Mapping[str, str] | None
) -> Iterator[tuple[str, ...]]:
    """The roles of the arguments: as given, or by name and then by position.

    Raises:
        CannotCheckError: ``given`` does not fit the arguments.
    """
    if given is not None:
        yield _given_roles(names, given)
        return
    by_gate = _roles_by_gate(names, kind)
    if by_gate:
        yield by_gate
    by_name = tuple(role_of(name) for name in names)
    if "weight" in by_name and "weight_hh" in by_name:  # W x + U h
        by_name = tuple("weight_ih" if role == "weight" else role for role in by_name)
    if "bias_hh" in by_name and "bias_ih" not in by_name:
        by_name = tuple("bias" if role == "bias_hh" else role for role in by_name)
    complete = tuple(role for role in by_name if role)
    if len(complete) == len(names) == len(set(complete)) and _is_usable(complete, kind):
        yield complete
    for states in (("x", "h", "c"), ("x", "h")) if kind == "lstm" else (("x", "h"),):
        for weights in POSITIONAL.get(len(names) - len(states), ()):
            roles = (*states, *weights)
            if roles != complete:
                yield roles


GATES = {  # kind -> a letter in a name, and the letter of torch.nn's gate
    "rnn": {},
    "gru": {"r": "r", "z": "z", "u": "z", "n": "n", "h": "n", "c": "n", "g": "n"},
    "lstm": {"i": "i", "f": "f", "g": "g", "c": "g", "o": "o"},
}


def _roles_by_gate(names: Sequence[str], kind: str) -> tuple[str, ...] | None:
    """Roles where every gate has weights of its own: ``W_xf``, ``W_hf``, ``b_f`` or ``Wf``, ``bf``.

    Without ``x`` or ``h`` in their names, W holds both matrices, or that of x if there is a U.
    """
    gates = "".join(GATES[kind])
    plain = [re.sub(r"[_\d]", "", name.lower()) for name in names]
    has_u = any(re.fullmatch(f"u[{gates}]", each) for each in plain) if gates else False
    roles = []
    for name, each in zip(names, plain, strict=True):
        match = re.fullmatch(f"([wub])([xih]?)([{gates}])", each) if gates else None
        if match is None:
            roles.append(role_of(name) if role_of(name) in ("x", "h", "c") else None)
            continue
        letter, source, gate = match.groups()
        matrix = {"x": "weight_ih", "i": "weight_ih", "h": "weight_hh"}.get(source, "weight")
        if letter == "b":
            matrix = matrix.replace("weight", "bias")
        elif not source and has_u:
            matrix = "weight_hh" if letter == "u" else "weight_ih"
        roles.append(f"{matrix}[{GATES[kind][gate]}]")
    complete = tuple(role for role in roles if role)
    enough = sum("[" in role for role in complete) >= 2 * len(set(GATES[kind].values()))
    is_usable = len(complete) == len(set(complete)) == len(names) and "x" in complete
    return complete if gates and enough and is_usable else None


def _given_roles(names: Sequence[str], given: Mapping[str, str]) -> tuple[str, ...]:
    for name, role in given.items():
        if name not in names:
            expected = ", ".join(names)
            raise CannotCheckError(
                f"arguments names {name!r}, which is not an argument of the forward pass: "
                f"expected {expected}"
            )
        if role not in ROLES:
            raise CannotCheckError(
                f"arguments[{name!r}] is {role!r}: expected one of {', '.join(ROLES)}"
            )
    missing = [name for name in names if name not in given]
    if missing:
        raise CannotCheckError(f"arguments has no entry for {', '.join(missing)}: add one for each")
    return tuple(given[name] for name in names)


def _is_usable(roles: Sequence[str], kind: str) -> bool:
    has_weights = "weight" in roles or {"weight_ih", "weight_hh"} <= set(roles)
    return "x" in roles and has_weights and ("c" not in roles or kind == "lstm")
