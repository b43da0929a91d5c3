"""From a user's plain function to a factory of modules that the verifier compares."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from cell_verifier.backward.derivation import ForwardVariant
from cell_verifier.backward.layout import Layout, Sizes, draw_inputs
from cell_verifier.calling.arguments import HEAD_WIDTH
from cell_verifier.calling.construct import default_dtype, name_of
from cell_verifier.errors import CannotCheckError
from cell_verifier.functions.arguments import Arguments, arguments_of, roles_of_weights
from cell_verifier.functions.module import Code, FunctionModule, Weight, function_module
from cell_verifier.functions.source import uses_numpy
from cell_verifier.identification.trials import find_trials
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import FLOAT64, HIDDEN_SIZE, INPUT_SIZE, fill_weights

Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class FunctionFactory:
    """Makes modules of a plain function, like the class of a cell.

    Attributes:
        function: the user's function.
        arguments: what its arguments are.
        shape_of: the shape of each weight for given sizes, and whether it is of an output layer.
        samples_last: whether x is (I, B).
    """

    function: Callable[..., Any]
    arguments: Arguments
    shape_of: Callable[[int, int], Mapping[str, Weight]]
    samples_last: bool = False
    __name__: str = field(default="", compare=False)

    def __call__(self, input_size: int, hidden_size: int) -> FunctionModule:
        arguments = self.arguments
        weights = self.shape_of(input_size, hidden_size)
        sizes = {
            name: input_size if size == "input_size" else hidden_size
            for name, size in arguments.sizes.items()
        }

        def call(data: inspect.BoundArguments, arrays: Mapping[str, Any]) -> Any:
            given = {name: arrays[name] for name in arguments.weights}
            for name, container in arguments.containers.items():
                given[name] = container.build([arrays[f"{name}.{p}"] for p in container.parts])
            return call_by_name(self.function, {**data.arguments, **given, **sizes})

        code = Code(
            call,
            inspect.Signature(list(arguments.data)),
            list(weights.values()),
            uses_numpy(self.function),
            self.samples_last,
        )
        return function_module(self.__name__, code)


def call_by_name(function: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """Call a function with its arguments by name, also those that are positional only."""
    parameters = inspect.signature(function).parameters.values()
    positional = [values[p.name] for p in parameters if p.kind is p.POSITIONAL_ONLY]
    named = {
        p.name: values[p.name]
        for p in parameters
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name in values
    }
    return function(*positional, **named)


def function_factory(
    function: Callable[..., Any],
    kind: Kind,
    examples: Mapping[str, Any] | None = None,
    sizes: tuple[int, int] | None = None,
) -> FunctionFactory | None:
    """The factory for a plain function ``step(x, h, Wx, Wh, b)``; None if it is none.

    Args:
        examples: the shape of each weight, or an array of that shape.
        sizes: the input_size and hidden_size of these shapes.

    Raises:
        CannotCheckError: it is not clear which weights the function takes.
    """
    arguments = arguments_of(function, [*(examples or {})])
    if arguments is None:
        return None
    name = name_of(function)
    first: FunctionFactory | None = None
    for shape_of, samples_last in _possible_shapes(arguments, kind, name, examples, sizes):
        factory = FunctionFactory(function, arguments, shape_of, samples_last, name)
        first = first or factory
        if _runs(factory, kind):
            return factory
    return first


def _runs(factory: FunctionFactory, kind: Kind) -> bool:
    with torch.no_grad(), default_dtype(FLOAT64):
        module = factory(INPUT_SIZE, HIDDEN_SIZE).double()
        fill_weights(module)
        try:
            find_trials(module, kind, FLOAT64)
        except CannotCheckError:
            return False
    return True


ShapeOf = Callable[[int, int], Mapping[str, Weight]]


def _possible_shapes(
    arguments: Arguments,
    kind: Kind,
    name: str,
    examples: Mapping[str, Any] | None,
    sizes: tuple[int, int] | None,
) -> Iterator[tuple[ShapeOf, bool]]:
    """Every way to give the weights shapes, and whether samples are columns then."""
    if examples:
        yield from ((_shapes_like(examples, sizes), last) for last in (False, True))
        return
    variant = ForwardVariant(kind.name)
    order = tuple(range(len(variant.letters)))
    for roles, heads in roles_of_weights(arguments, kind.name, name):
        for columns, last in ((True, False), (False, False), (False, True)):
            layout = Layout((), variant, order, columns=columns, samples_last=last)
            yield _shapes_of_roles(layout, roles, heads), last


def _shapes_of_roles(layout: Layout, roles: Mapping[str, str], heads: Sequence[str]) -> ShapeOf:
    def shape_of(input_size: int, hidden_size: int) -> Mapping[str, Weight]:
        sizes = Sizes(input_size=input_size, hidden_size=hidden_size)
        inputs = draw_inputs(layout.variant, tuple(roles.values()), sizes)
        weights = {
            name: Weight(name, tuple(layout.to_user(role, inputs).shape))
            for name, role in roles.items()
        }
        for name in heads:
            shape = _head_shape(layout, name.rpartition(".")[2], hidden_size)
            weights[name] = Weight(name, shape, is_head=True)
        return weights

    return shape_of


def _head_shape(layout: Layout, name: str, hidden_size: int) -> tuple[int, ...]:
    if name[:1] in "bB":
        return (HEAD_WIDTH, 1) if layout.samples_last else (HEAD_WIDTH,)
    return (hidden_size, HEAD_WIDTH) if layout.columns else (HEAD_WIDTH, hidden_size)


def _shapes_like(examples: Mapping[str, Any], sizes: tuple[int, int] | None) -> ShapeOf:
    """Shapes as those of the examples, with each axis as a multiple of the two sizes.

    Raises:
        CannotCheckError: an axis is two such multiples, or the sizes are missing.
    """
    if sizes is None:
        raise CannotCheckError(
            "weights holds shapes: pass also the input_size and hidden_size of these shapes"
        )
    axes = {name: _axes_of(name, _shape_of(each), *sizes) for name, each in examples.items()}

    def shape_of(input_size: int, hidden_size: int) -> Mapping[str, Weight]:
        values = {"I": input_size, "H": hidden_size, "I + H": input_size + hidden_size}
        values |= {f"{n} H": n * hidden_size for n in (2, 3, 4)}
        return {
            name: Weight(name, tuple(values[n] if isinstance(n, str) else n for n in shape))
            for name, shape in axes.items()
        }

    return shape_of


def _shape_of(example: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in getattr(example, "shape", example))


def _axes_of(name: str, shape: tuple[int, ...], input_size: int, hidden_size: int) -> Shape:
    known = {"I": input_size, "H": hidden_size, "I + H": input_size + hidden_size}
    known |= {f"{n} H": n * hidden_size for n in (2, 3, 4)}
    found: list[int | str] = []
    for size in shape:
        fitting = [axis for axis, value in known.items() if value == size]
        if len(fitting) > 1:
            raise CannotCheckError(
                f"weights[{name!r}] has an axis of {size}, which is {' and '.join(fitting)} for "
                f"input_size {input_size} and hidden_size {hidden_size}: use sizes without a "
                "common multiple, such as 5 and 7"
            )
        found.append(fitting[0] if fitting else size)
    return tuple(found)
