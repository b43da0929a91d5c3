"""Discover by trial how the user's forward pass is called and how its arrays are laid out."""

import contextlib
import io
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from cell_verifier.backward.derivation import ForwardVariant
from cell_verifier.backward.dictionary import unpack_dictionary
from cell_verifier.backward.layout import Layout, Sizes, Time, draw_inputs
from cell_verifier.backward.passes import run_forward
from cell_verifier.backward.roles import ROLES, argument_names, possible_roles
from cell_verifier.backward.subject import Code, Subject, as_tensor
from cell_verifier.errors import CannotCheckError
from command_line.errors import own_line

TOLERANCE = 1e-8
"""Relative; the code may compute in another order, and activations in another form."""


def discover(
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None,
    kind: str,
    arguments: Mapping[str, str] | None,
) -> Subject:
    """The layout with which the forward pass equals the recurrence.

    Raises:
        CannotCheckError: there is none, or the forward pass raises with every layout.
    """
    forward, arguments_of = unpack_dictionary(forward, argument_names(forward))
    names = tuple(arguments_of)
    types = (True, False) if backward is not None else (False,)
    error: Exception | None = None
    runs = False
    for numpy in types:
        code = Code(forward, backward, names, numpy)
        for layout in _layouts(kind, names, arguments):
            try:
                outputs = _run(code, layout)
            except CannotCheckError:
                raise
            except Exception as raised:  # a layout that does not fit the code
                error = raised if error is None or not _is_more_telling(error, raised) else error
                continue
            runs = True
            subject = _match(code, layout, outputs)
            if subject is not None:
                return subject
    if not names or (error is None and not runs):
        raise CannotCheckError(
            f"the arguments of the forward pass are {', '.join(names) or 'none'}: expected x, the "
            f"state, weights and biases. Pass arguments={{name: role}} with the roles "
            f"{', '.join(ROLES)}"
        )
    if runs:
        raise CannotCheckError(
            f"the outputs of the forward pass do not equal torch.nn's {kind.upper()} with any order"
            " of the gates: correct the forward pass first (verify finds the mistake in a module)"
        )
    assert error is not None
    raise CannotCheckError(f"the forward pass raises: {own_line(error)}") from error


def _is_more_telling(first: Exception, second: Exception) -> bool:
    """Whether only the first is an error in the code itself, and not one of a wrong shape."""
    telling = (NameError, AttributeError)
    return isinstance(first, telling) and not isinstance(second, telling)


def _layouts(
    kind: str, names: tuple[str, ...], arguments: Mapping[str, str] | None
) -> Iterator[Layout]:
    times: tuple[Time, ...] = ("step", "batch first", "time first")
    for roles in possible_roles(names, kind, arguments):
        joined = (False, True) if any(each.startswith("weight[") for each in roles) else (False,)
        joined = (False, True) if "weight" in roles else joined
        for samples_last, layer_axis, time, columns, hidden_first in itertools.product(
            (False, True), (False, True), times, (True, False), joined
        ):
            if (samples_last and (columns or time != "step")) or (layer_axis and time == "step"):
                continue
            variant = ForwardVariant(kind)
            order = tuple(range(len(variant.letters)))
            yield Layout(
                roles, variant, order, time, columns, hidden_first, samples_last, layer_axis
            )


def _sizes(layout: Layout) -> Sizes:
    return Sizes(time=1) if layout.time == "step" else Sizes()


def _run(code: Code, layout: Layout) -> list[Tensor | None]:
    inputs = draw_inputs(layout.variant, layout.roles, _sizes(layout))
    arrays = [layout.to_user(role, inputs).contiguous() for role in layout.roles]
    with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
        outputs, _ = code.run_forward(arrays)
    return [as_tensor(output) for output in outputs]


def _match(code: Code, layout: Layout, outputs: list[Tensor | None]) -> Subject | None:
    """The subject, with the variant and the order of gates that give these outputs."""
    base = draw_inputs(layout.variant, layout.roles, _sizes(layout))
    for variant in _variants(layout.variant.kind):
        for order in _orders(layout):
            inputs = dict(base)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                inputs[name] = base[name][list(order)]
            steps = run_forward(variant, inputs)
            expected = {"hs": torch.stack([step["h'"] for step in steps]), "h": steps[-1]["h'"]}
            if variant.kind == "lstm":
                expected["cs"] = torch.stack([step["c'"] for step in steps])
                expected["c"] = steps[-1]["c'"]
            found = tuple(_name_of(output, layout, expected) for output in outputs)
            if "h" in found or "hs" in found:
                return Subject(code, replace(layout, variant=variant, gate_order=order), found)
    return None


def _variants(kind: str) -> Iterator[ForwardVariant]:
    yield ForwardVariant(kind)
    if kind == "gru":
        for reset_first, swapped in ((True, False), (False, True), (True, True)):
            yield ForwardVariant(kind, reset_first, swapped)


def _orders(layout: Layout) -> Iterator[tuple[int, ...]]:
    gates = range(len(layout.variant.letters))
    if layout.by_gate:
        yield tuple(gates)
    else:
        yield from itertools.permutations(gates)


def _name_of(output: Tensor | None, layout: Layout, expected: dict[str, Tensor]) -> str:
    """Which of the expected tensors an output equals, or ``""``."""
    if output is None:
        return ""
    names = ("h", "c") if layout.time == "step" else ("hs", "cs", "h", "c")
    for name in names:
        wanted = layout.data_to_user(expected[name]) if name in expected else None
        if wanted is not None and output.shape in (wanted.shape, (1, *wanted.shape)):
            scale = max(1.0, float(wanted.abs().max()))
            if float((output - wanted).abs().max()) <= TOLERANCE * scale:
                return name
    return ""
