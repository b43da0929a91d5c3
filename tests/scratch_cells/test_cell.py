"""A cell of one's own has layers, directions, packed sequences and tracing from the same code."""

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence

from examples.minimal_gated_cell import MinimalGatedCell, TwoPartCell
from scratch_cells import Cell, layer_of, trace

torch_double = {"dtype": torch.float64}
CELLS = pytest.mark.parametrize("cell_class", [MinimalGatedCell, TwoPartCell])


def by_hand(cell: Cell, x: Tensor, reverse: bool) -> Tensor:
    """One sequence through one cell with nothing but the cell's own call: (T, I) -> (T, H)."""
    outputs, state = {}, None
    for t in reversed(range(len(x))) if reverse else range(len(x)):
        state = cell(x[t], state)
        outputs[t] = state[0] if isinstance(state, tuple) else state
    return torch.stack([outputs[t] for t in range(len(x))])


@CELLS
def test_layers_and_directions(cell_class: type[Cell]) -> None:
    torch.manual_seed(0)
    layer = layer_of(cell_class)(3, 4, num_layers=2, bidirectional=True, **torch_double)
    x = torch.randn(5, 3, **torch_double)
    data = x
    for forward, backward in (layer.cells[:2], layer.cells[2:]):
        data = torch.cat([by_hand(forward, data, False), by_hand(backward, data, True)], dim=-1)
    torch.testing.assert_close(layer(x)[0], data, rtol=1e-12, atol=1e-12)


@CELLS
def test_packed_sequences(cell_class: type[Cell]) -> None:
    torch.manual_seed(0)
    layer = layer_of(cell_class)(3, 4, num_layers=2, bidirectional=True, **torch_double)
    sequences = [torch.randn(length, 3, **torch_double) for length in (2, 5, 1)]
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


def test_trace_knows_the_gates_by_name() -> None:
    layer = layer_of(MinimalGatedCell)(3, 4)
    seen = trace(layer, torch.randn(5, 2, 3)).of(0)
    f, n = seen.gates.forget, seen.gates.candidate
    before = torch.cat([torch.zeros(1, 2, 4), seen.hidden[:-1]])
    torch.testing.assert_close(seen.hidden, (1 - f) * before + f * n)


def test_trace_knows_the_state_by_name() -> None:
    layer = layer_of(TwoPartCell)(3, 4)
    seen = trace(layer, torch.randn(5, 2, 3)).of(0)
    torch.testing.assert_close(seen.states["total"], seen.gates.candidate.cumsum(0))


@CELLS
def test_weights_answer_to_torch_names(cell_class: type[Cell]) -> None:
    layer = layer_of(cell_class)(3, 4)
    assert list(layer.state_dict()) == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]


def test_layer_is_named_after_the_cell() -> None:
    assert layer_of(MinimalGatedCell).__name__ == "MinimalGated"
    with pytest.raises(ValueError, match="MinimalGated: Expected input to be 2D or 3D, got 1D"):
        layer_of(MinimalGatedCell)(3, 4)(torch.zeros(3))


def test_a_cell_without_gates_or_update_is_abstract() -> None:
    class Unfinished(MinimalGatedCell):
        update = Cell.update

    with pytest.raises(TypeError, match="abstract"):
        Unfinished(3, 4)


def test_extra_arguments_of_a_cell_go_through_the_layer() -> None:
    class Scaled(MinimalGatedCell):
        def __init__(self, *args: object, scale: float, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)
            self.scale = scale

    assert [cell.scale for cell in layer_of(Scaled)(3, 4, 2, scale=0.5).cells] == [0.5, 0.5]
