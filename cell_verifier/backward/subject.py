"""The user's forward and backward pass: how they are called, and what they return."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cell_verifier.backward.dictionary import HEAD
from cell_verifier.backward.layout import Layout, Sizes, draw_inputs, random_normal
from cell_verifier.backward.passes import Edits, Tensors, Upstream, run_backward, run_forward
from cell_verifier.backward.roles import role_of
from cell_verifier.backward.search import Gradients
from cell_verifier.errors import CannotCheckError

CACHE_NAMES = ("cache", "caches", "ctx", "saved", "tape", "memory", "context")


@dataclass(frozen=True)
class Code:
    """The user's code.

    Attributes:
        forward: a ``torch.autograd.Function``, or a function.
        backward: a function that returns gradients; None if autograd computes them.
        names: the arguments of ``forward``.
        numpy: whether the code takes NumPy arrays.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any] | None
    names: tuple[str, ...]
    numpy: bool

    def run_forward(self, arrays: Sequence[Tensor]) -> tuple[list[Any], Any]:
        """The outputs and, of a pair of functions, the cache."""
        # An autograd.Function is a class; that it has apply has been checked.
        is_function = isinstance(self.forward, type)
        call = self.forward.apply if is_function else self.forward  # type: ignore[attr-defined]  # a Function
        returned = call(*(self.to_user_type(each) for each in arrays))
        parts = list(returned) if isinstance(returned, tuple | list) else [returned]
        if self.backward is None:
            return parts, None
        if len(parts) < 2:
            raise CannotCheckError(
                "the forward pass returns one value: expected its outputs and then the cache that "
                "the backward pass takes"
            )
        return parts[:-1], parts[-1]

    def to_user_type(self, part: Tensor) -> Any:
        if self.numpy:
            return part.detach().numpy().copy()
        return part if part.requires_grad else part.clone()

    def run_backward(self, upstream: Sequence[Tensor], cache: Any) -> Any:
        """What ``backward`` returns; it takes as many gradients as it has arguments for them."""
        assert self.backward is not None
        names = list(inspect.signature(self.backward).parameters)
        given: list[Any] = [self.to_user_type(each) for each in upstream[: len(names) - 1]]
        position = next((n for n, name in enumerate(names) if name in CACHE_NAMES), len(given))
        given.insert(position, cache)
        return self.backward(*given)

    def num_upstream(self, outputs: int) -> int:
        """How many of the outputs have a gradient that the backward pass takes."""
        if self.backward is None:
            return outputs
        return min(outputs, len(inspect.signature(self.backward).parameters) - 1)


def as_tensor(part: Any) -> Tensor | None:
    """A float64 tensor of an array, or None if it is not one."""
    if isinstance(part, np.ndarray | np.floating):
        return torch.as_tensor(np.array(part, dtype=np.float64))
    return part.detach().double() if isinstance(part, Tensor) else None


def _zeros_like(output: Any) -> Tensor:
    """The gradient of an output that does not contribute to the loss."""
    tensor = as_tensor(output)
    return torch.zeros(()) if tensor is None else torch.zeros_like(tensor)


@dataclass(frozen=True)
class Subject:
    """The user's code once the layout of its arguments and outputs is known.

    Attributes:
        outputs: what each output is: ``hs``, ``cs`` (after every step), ``h``, ``c`` (after the
            last one) or ``""`` for something else, whose gradient is then zero.
    """

    code: Code
    layout: Layout
    outputs: tuple[str, ...]

    @property
    def is_step(self) -> bool:
        return self.layout.time == "step"


@dataclass(frozen=True)
class Experiment:
    """One backward pass of the user's code and of the derivation on the same random input."""

    subject: Subject
    sizes: Sizes
    seed: int = 0

    @cached_property
    def inputs(self) -> Tensors:
        sizes = replace(self.sizes, time=1) if self.subject.is_step else self.sizes
        layout = self.subject.layout
        return draw_inputs(layout.variant, layout.roles, sizes, seed=self.seed)

    @cached_property
    def _upstream_parts(self) -> dict[str, Tensor]:
        """Random gradients with respect to each output, in the layout of the derivation."""
        normal = random_normal(self.seed + 1)
        state = self.sizes.batch, self.sizes.hidden_size
        sequence = (self.inputs["x"].shape[0], *state)
        parts = {"hs": normal(*sequence), "cs": normal(*sequence)}
        return parts | {"h": normal(*state), "c": normal(*state)}

    @property
    def upstream(self) -> Upstream:
        """The gradients with respect to what the forward pass returns."""
        outputs = self.subject.outputs
        used = outputs[: self.subject.code.num_upstream(len(outputs))]
        parts = self._upstream_parts.items()
        given = {name: part if name in used else torch.zeros_like(part) for name, part in parts}
        return Upstream(given["hs"], given["cs"], given["h"], given["c"])

    def user_gradients(self) -> Gradients:
        """The user's gradient for each argument that has one, by the argument's name.

        Raises:
            Exception: whatever the user's code raises.
        """
        code, layout = self.subject.code, self.subject.layout
        arrays = [layout.to_user(role, self.inputs).contiguous() for role in layout.roles]
        parts = self._upstream_parts
        if code.backward is None:
            arrays = [each.clone().requires_grad_() for each in arrays]
        outputs, cache = code.run_forward(arrays)
        upstream = [
            layout.data_to_user(parts[name]).reshape(output.shape) if name else _zeros_like(output)
            for name, output in zip(self.subject.outputs, outputs, strict=True)
        ]
        if code.backward is not None:
            returned = code.run_backward(upstream, cache)
            return _named_gradients(returned, code.names, layout.roles, arrays)
        differentiable = [
            (output, gradient)
            for output, gradient in zip(outputs, upstream, strict=True)
            if isinstance(output, Tensor) and output.requires_grad
        ]
        gradients = torch.autograd.grad(
            [output for output, _ in differentiable],
            arrays,
            [gradient for _, gradient in differentiable],
            allow_unused=True,
        )
        return {
            name: torch.zeros_like(array) if gradient is None else gradient
            for name, array, gradient in zip(code.names, arrays, gradients, strict=True)
        }

    def derivation(self) -> Callable[[Edits], Gradients]:
        """The gradients of the derivation with edits, in the user's layout."""
        layout, inputs = self.subject.layout, self.inputs
        upstream = self.upstream
        steps = run_forward(layout.variant, inputs)

        def simulate(edits: Edits) -> Gradients:
            gradients = run_backward(layout.variant, steps, upstream, edits, layout.letters)
            return {
                name: layout.to_user(role, gradients)
                for name, role in zip(self.subject.code.names, layout.roles, strict=True)
            }

        return simulate


def _named_gradients(
    returned: Any, names: Sequence[str], roles: Sequence[str], arrays: Sequence[Tensor]
) -> Gradients:
    """The returned gradients by the names of the arguments: from a dict, or by order and shape."""
    if isinstance(returned, Mapping):
        return _from_mapping(returned, names, roles, arrays)
    parts = list(returned) if isinstance(returned, tuple | list) else [returned]
    tensors = [as_tensor(part) for part in parts]
    free = list(range(len(names)))
    found: dict[int, Tensor] = {}
    others: list[Tensor] = []
    for n, tensor in enumerate(tensors):
        if tensor is None:
            continue
        in_order = len(parts) == len(names) and n in free
        fitting = [k for k in free if _same_size(tensor, arrays[k])]
        if in_order and n in fitting:
            fitting = [n]
        if fitting:
            found[fitting[0]] = tensor.reshape(arrays[fitting[0]].shape)
            free.remove(fitting[0])
        else:
            others.append(tensor)
    if len(others) > len(free):
        raise CannotCheckError(
            f"the backward pass returns {len(parts)} gradients, and {len(others) - len(free)} of "
            f"them have the shape of no argument: expected one for each of {', '.join(names)}"
        )
    found.update(zip(free, others, strict=False))  # of a wrong shape
    if not found:
        raise CannotCheckError(
            f"the backward pass returns no gradients: expected one array for each of "
            f"{', '.join(names)}"
        )
    return {names[n]: tensor for n, tensor in sorted(found.items())}


def _same_size(tensor: Tensor, array: Tensor) -> bool:
    """Whether the shapes are equal, apart from axes of size 1."""
    return [n for n in tensor.shape if n > 1] == [n for n in array.shape if n > 1]


def _from_mapping(
    returned: Mapping[str, Any],
    names: Sequence[str],
    roles: Sequence[str],
    arrays: Sequence[Tensor],
) -> Gradients:
    """Match the keys ``dWx``, ``grad_Wx`` or ``Wx`` with the arguments."""
    found = {}
    for key, value in returned.items():
        tensor = as_tensor(value)
        plain = key.removeprefix("grad").removeprefix("d").strip("_")
        by_name = [n for n, name in enumerate(names) if name.lower() == plain.lower()]
        by_role = [n for n, role in enumerate(roles) if role == role_of(plain)]
        if tensor is None or plain.lower() in HEAD:
            continue
        if not by_name and not by_role:
            raise CannotCheckError(
                f"the backward pass returns a gradient with the key {key!r}: expected d and the "
                f"name of an argument, as in d{names[0]}"
            )
        n = (by_name or by_role)[0]
        same = _same_size(tensor, arrays[n])
        found[names[n]] = tensor.reshape(arrays[n].shape) if same else tensor
    if not found:
        raise CannotCheckError(
            "the backward pass returns a dictionary without gradients: expected one for each of "
            f"{', '.join(names)}"
        )
    return {name: found[name] for name in names if name in found}
