"""A user's cell or layer of any calling convention, behind torch.nn's interface."""

import torch
from torch import Tensor, nn

from cell_verifier.adapt import CallableCell
from cell_verifier.reference.probes import Probe
from training_loop.config import Config

State = Tensor | tuple[Tensor, ...]


class AdaptedLayer(nn.Module):
    """Layers and directions of a user's cell, called by the convention that the verifier found.

    Args:
        cell: the user's class, and how it is called.
        input_size: number of features of a time step.
        config: sizes and number of layers and directions.
    """

    def __init__(self, cell: CallableCell, input_size: int, config: Config) -> None:
        super().__init__()
        self.convention, self.parts = cell.convention, len(cell.kind.state)
        self.hidden_size, self.bidirectional = config.hidden_size, config.bidirectional
        self.directions = 2 if config.bidirectional else 1
        self.dropout = nn.Dropout(config.dropout)
        width = self.directions * config.hidden_size
        self.cells = nn.ModuleList(
            cell.make(width if layer else input_size, config.hidden_size)
            for layer in range(config.num_layers)
            for _ in range(self.directions)
        )

    def forward(self, input: Tensor, hx: State | None = None) -> tuple[Tensor, State]:
        """Process a sequence (batch, time, input_size); see ``shared_interface.RecurrentLayer``."""
        x = input.transpose(0, 1)  # (time, batch, input_size)
        finals: list[tuple[Tensor, ...]] = []
        for first in range(0, len(self.cells), self.directions):
            if first:
                x = self.dropout(x)
            outputs = []
            for n in range(first, first + self.directions):
                backward = n > first
                output, final = self._run(n, x.flip(0) if backward else x, hx)
                outputs.append(output.flip(0) if backward else output)
                finals.append(final)
            x = torch.cat(outputs, dim=-1)
        state = tuple(torch.stack(part) for part in zip(*finals, strict=True))
        return x.transpose(0, 1), state if len(state) > 1 else state[0]

    def _run(self, n: int, x: Tensor, hx: State | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The outputs (T, B, H) and the final state, each part (B, H), of one direction."""
        if hx is None:
            zeros = x.new_zeros(x.size(1), self.hidden_size)
            initial: tuple[Tensor, ...] = (zeros,) * self.parts
        else:
            initial = tuple(part[n] for part in (hx if isinstance(hx, tuple) else (hx,)))
        if not self.convention.is_cell:
            initial = tuple(part[None] for part in initial)  # (1, B, H)
        observed = self.convention.run(self.cells[n], Probe(x, initial))
        h = observed["h"] if "h" in observed else observed["output"]
        output = observed.get("output", h)
        final = [h[-1], *(observed[name][-1] for name in observed if name == "c")]
        return (h if self.convention.is_cell else output), tuple(final)

    def extra_repr(self) -> str:
        """The calling convention, for ``print``."""
        return self.convention.describe()
