"""The weights of a layer of several cells, under torch.nn's names."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from scratch_cells.cell import Cell
from scratch_cells.linears import draw_uniform
from scratch_cells.parameters import TorchNamedModule, is_sharded


class StackedCells(TorchNamedModule):
    """The cells of a layer: layer by layer, forward before reverse, as torch.nn's weights."""

    cells: nn.ModuleList
    hidden_size: int
    bias: bool
    bidirectional: bool

    def torch_names(self) -> dict[str, str]:
        directions = 2 if self.bidirectional else 1
        names = {}
        for index, cell in enumerate(self.cells):
            assert isinstance(cell, Cell)
            suffix = f"_l{index // directions}" + ("_reverse" if index % directions else "")
            for name in cell.torch_names():
                if self.bias or not name.startswith("bias"):
                    names[name + suffix] = f"cells.{index}.{name}"
        return names

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """Weights and biases of each layer and direction, in torch.nn's order."""
        weights = dict(self.named_weights())
        count = len(weights) // len(self.cells)
        values = list(weights.values())
        return [values[start : start + count] for start in range(0, len(values), count)]

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """As the base class, which finds each weight again in its cell and in its ``nn.Linear``."""
        if not (recurse and remove_duplicate and self._has_all_parameters()):
            yield from super().named_parameters(prefix, recurse, remove_duplicate)
            return
        seen = set()
        for name, parameter in self._parameters.items():
            if parameter is not None and id(parameter) not in seen:
                seen.add(id(parameter))
                yield (f"{prefix}.{name}" if prefix else name), parameter

    def _has_all_parameters(self) -> bool:
        """Whether every parameter of its modules is registered in this module, too."""
        self.share_weights()
        of_modules: list[Any] = list(self.cells._parameters.values())
        for cell in self._each_cell():
            of_modules += cell._parameters.values()
            for linear in cell._modules.values():
                if linear is None or linear._modules:
                    return False
                of_modules += linear._parameters.values()
        own = set(map(id, self._parameters.values()))
        own.add(id(None))
        return len(self._modules) == 1 and own.issuperset(map(id, of_modules))

    def reset_parameters(self) -> None:
        """Initialize every weight from U(-1/√H, 1/√H), in torch.nn's order."""
        if self._provided:  # the cells do not have these weights
            for weight in self.parameters():
                draw_uniform(weight, self.hidden_size)
            return
        for cell in self.cells:
            cell.reset_parameters()  # type: ignore[operator]  # a ModuleList of cells

    def share_weights(self) -> bool:
        if self._are_the_same():  # in every call, except for the first one after a change
            for cell in self._each_cell():
                # Not isinstance(cell, Cell): that takes 0.3 µs for an abstract class.
                if isinstance(cell, TorchNamedModule) and not cell._are_the_same():
                    break
            else:
                return True
        cells = self._cells()
        were_the_same = [cell.share_weights() for cell in cells]
        provided = len(self._provided)
        were_the_same.append(super().share_weights())
        if len(self._provided) != provided:
            for cell in cells:
                cell.share_weights()
                cell.provider = (self,) if self._provided else ()
        return all(were_the_same)

    def _cells(self) -> list[Cell]:
        """The cells, without modules that have replaced a cell."""
        return [cell for cell in self._each_cell() if isinstance(cell, Cell)]

    def _each_cell(self) -> list[Any]:
        """``list(self.cells)``, without the time for the lookup of the attribute."""
        return list(self._modules["cells"]._modules.values())  # type: ignore[union-attr]  # not None

    def _own_values(self) -> list[tuple[nn.Module, str, Tensor]]:
        for index, cell in enumerate(self.cells):
            if is_sharded(cell):
                raise RuntimeError(
                    f"cells.{index} was sharded by fully_shard, and a layer does not call its cells"
                    " as modules: call fully_shard with the layer, or with the Linears of the cell"
                )
        values = super()._own_values()
        return values + [value for cell in self._cells() for value in cell._own_values()]
