"""Find a layer of one cell again in a layer of several: which parameters are which cell's."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from cell_verifier.parameters.correspondence import Correspondence
from cell_verifier.reference.equations import Weights
from cell_verifier.reference.probes import HIDDEN_SIZE
from cell_verifier.reference.simulate import Stack

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class Arrangement:
    """Which of the stack's parameters stand for which of the single cell's.

    Attributes:
        names: for each cell, in torch.nn's order, the single cell's name -> the stack's.
        input_sizes: what each cell reads.
    """

    base: Correspondence
    names: tuple[Mapping[str, str], ...]
    input_sizes: tuple[int, ...]

    def read(self, parameters: Parameters) -> list[Weights]:
        """Each cell's weights, as views of the user's parameters."""
        return [
            self.base.read(
                {base: parameters[name] for base, name in names.items()}, size, HIDDEN_SIZE
            )
            for names, size in zip(self.names, self.input_sizes, strict=True)
        ]

    def like_torch(self, stack: Stack) -> bool:
        """Whether every later layer reads what torch.nn's reads."""
        later = self.input_sizes[stack.directions :]
        return all(size == stack.directions * HIDDEN_SIZE for size in later)


def arrangements(
    base: Correspondence,
    base_names: Sequence[str],
    parameters: Parameters,
    stack: Stack,
    input_size: int,
) -> Iterator[Arrangement]:
    """Every arrangement whose shapes fit, the likeliest first."""
    cells = stack.layers * stack.directions
    for names in _partitions(list(base_names), list(parameters), stack):
        for sizes in dict.fromkeys((stack.directions * HIDDEN_SIZE, HIDDEN_SIZE, input_size)):
            input_sizes = (input_size,) * stack.directions + (sizes,) * (cells - stack.directions)
            arrangement = Arrangement(base, names, input_sizes)
            try:
                arrangement.read(parameters)
            except (ValueError, RuntimeError):  # the shapes do not fit
                continue
            yield arrangement


def _partitions(
    base: list[str], names: list[str], stack: Stack
) -> Iterator[tuple[Mapping[str, str], ...]]:
    cells, each = stack.layers * stack.directions, len(base)
    torchs = [
        {
            name: name.removesuffix("_l0") + f"_l{index // stack.directions}"
            + ("_reverse" if index % stack.directions else "")
            for name in base
        }
        for index in range(cells)
    ]  # fmt: skip
    if all(name in names for cell in torchs for name in cell.values()):
        yield tuple(torchs)
        return
    if len(names) != cells * each:
        return
    lists: tuple[Callable[[int, int], int], ...] = (
        lambda cell, parameter: cell * each + parameter,  # cell after cell
        lambda cell, parameter: parameter * cells + cell,  # one list for each parameter
    )
    for place in lists:
        for order in _cell_orders(stack):
            yield tuple(
                {name: names[place(cell, n)] for n, name in enumerate(base)} for cell in order
            )


def _cell_orders(stack: Stack) -> Iterator[list[int]]:
    """For torch.nn's order of cells, their place in the user's: layer by layer, or by direction."""
    yield list(range(stack.layers * stack.directions))
    if stack.layers > 1 and stack.directions > 1:
        yield [d * stack.layers + n for n in range(stack.layers) for d in range(stack.directions)]
