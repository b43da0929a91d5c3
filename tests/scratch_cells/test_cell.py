"""Custom cells support layers, directions, packed sequences and tracing."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence

from examples.minimal_gated_cell import MinimalGatedCell
from scratch_cells import Cell, LSTMCell, layer_of, trace

FLOAT64 = {"dtype": torch.float64}


class RunningSumCell(Cell):
    """A cell with a custom state: h, and the sum of all candidates so far."""

    state_names = ("hidden", "total")

    class Gates(NamedTuple):
        candidate: Tensor

    def gates(self, projected: Tensor, state: tuple[Tensor, Tensor]) -> Gates:
        h, total = state
        return self.Gates(torch.tanh(projected + self.hidden_to_hidden(h) - 0.1 * total))

    def update(self, gates: Gates, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        (n,) = gates
        return n, state[1] + n


CELLS = pytest.mark.parametrize("cell_class", [MinimalGatedCell, RunningSumCell])


def run_sequence(cell: Cell, x: Tensor, reverse: bool) -> Tensor:
    """Call the cell once per time step of one sequence: (T, I) -> (T, H)."""
    outputs, state = {}, None
    for t in reversed(range(len(x))) if reverse else range(len(x)):
        state = cell(x[t], state)
        outputs[t] = state[0] if isinstance(state, tuple) else state
    return torch.stack([outputs[t] for t in range(len(x))])


@CELLS
def test_a_layer_equals_calls_of_its_cells(cell_class: type[Cell]) -> None:
    torch.manual_seed(0)
    layer = layer_of(cell_class)(3, 4, num_layers=2, bidirectional=True, **FLOAT64)
    x = torch.randn(5, 3, **FLOAT64)
    data = x
    for forward, backward in (layer.cells[:2], layer.cells[2:]):
        directions = run_sequence(forward, data, False), run_sequence(backward, data, True)
        data = torch.cat(directions, dim=-1)
    torch.testing.assert_close(layer(x)[0], data, rtol=1e-12, atol=1e-12)


@CELLS
def test_packed_sequences_give_the_same_as_single_ones(cell_class: type[Cell]) -> None:
    torch.manual_seed(0)
    layer = layer_of(cell_class)(3, 4, num_layers=2, bidirectional=True, **FLOAT64)
    sequences = [torch.randn(length, 3, **FLOAT64) for length in (2, 5, 1)]
    output, state = layer(pack_sequence(sequences, enforce_sorted=False))
    padded, lengths = torch.nn.utils.rnn.pad_packed_sequence(output)
    for sample, x in enumerate(sequences):
        alone, final = layer(x)
        assert lengths[sample] == len(x)
        torch.testing.assert_close(padded[: len(x), sample], alone, rtol=1e-12, atol=1e-12)
        for part, expected in zip(
            state if isinstance(state, tuple) else (state,),
            final if isinstance(final, tuple) else (final,),
            strict=True,
        ):
            torch.testing.assert_close(part[:, sample], expected, rtol=1e-12, atol=1e-12)


def test_trace_names_the_gates() -> None:
    layer = layer_of(MinimalGatedCell)(3, 4)
    seen = trace(layer, torch.randn(5, 2, 3)).of(0)
    f, n = seen.gates.forget, seen.gates.candidate
    before = torch.cat([torch.zeros(1, 2, 4), seen.hidden[:-1]])
    torch.testing.assert_close(seen.hidden, (1 - f) * before + f * n)


def test_trace_names_the_parts_of_the_state() -> None:
    layer = layer_of(RunningSumCell)(3, 4)
    seen = trace(layer, torch.randn(5, 2, 3)).of(0)
    torch.testing.assert_close(seen.states["total"], seen.gates.candidate.cumsum(0))


@CELLS
def test_weights_have_torch_names(cell_class: type[Cell]) -> None:
    layer = layer_of(cell_class)(3, 4)
    assert list(layer.state_dict()) == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]


def test_the_layer_has_the_name_of_the_cell() -> None:
    assert layer_of(MinimalGatedCell).__name__ == "MinimalGated"
    with pytest.raises(ValueError, match="MinimalGated: Expected input to be 2D or 3D, got 1D"):
        layer_of(MinimalGatedCell)(3, 4)(torch.zeros(3))


def test_a_cell_without_gates_or_update_is_abstract() -> None:
    class Unfinished(MinimalGatedCell):
        update = Cell.update

    with pytest.raises(TypeError, match="abstract"):
        Unfinished(3, 4)


def test_the_layer_passes_extra_arguments_to_the_cell() -> None:
    class Scaled(MinimalGatedCell):
        def __init__(self, *args: object, scale: float, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)
            self.scale = scale

    assert [cell.scale for cell in layer_of(Scaled)(3, 4, 2, scale=0.5).cells] == [0.5, 0.5]


class ClippedLSTMCell(LSTMCell):
    """An LSTM cell that overrides ``step`` instead of ``gates`` or ``update``."""

    def step(self, projected: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        h, c = super().step(projected, state)
        return h, c.clamp(-0.05, 0.05)


@pytest.mark.parametrize("backend", ["auto", "plain"])
def test_a_layer_uses_an_overridden_step(backend: str) -> None:
    torch.manual_seed(0)
    layer = layer_of(ClippedLSTMCell)(3, 4, backend=backend, **FLOAT64)
    x = torch.randn(5, 3, **FLOAT64)
    output, (_, c) = layer(x)
    expected = run_sequence(layer.cells[0], x, reverse=False)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    assert c.abs().max() == 0.05  # the overridden step has an effect


def test_trace_uses_an_overridden_step() -> None:
    torch.manual_seed(0)
    layer = layer_of(ClippedLSTMCell)(3, 4, **FLOAT64)
    x = torch.randn(5, 3, **FLOAT64)
    seen = trace(layer, x)
    torch.testing.assert_close(seen.output, layer(x)[0], rtol=1e-12, atol=1e-12)
    assert seen.of().cell.abs().max() == 0.05
    assert seen.of().gates.forget.shape == (5, 4)
