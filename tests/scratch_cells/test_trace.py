"""A trace has the layer's output, and its gates equal the equations."""

from typing import Any

import pytest
import torch
from hypothesis import given
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

import scratch_cells
from scratch_cells import CellTrace, trace
from tests.helpers.oracles import affine, sigmoid, tanh
from tests.helpers.strategies import Configuration, configurations


def data(sequence: Tensor | PackedSequence) -> Tensor:
    return sequence.data if isinstance(sequence, PackedSequence) else sequence


def parts(state: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


@given(configurations())
def test_output_and_state_equal_the_layers(configuration: Configuration) -> None:
    sequence, _ = configuration.input()
    state = configuration.state()
    hx = state if configuration.kind == "LSTM" else state[0]
    for package in (scratch_cells, nn):
        layer = configuration.build(package)
        torch.manual_seed(1)
        output, final = layer(sequence, hx)
        torch.manual_seed(1)
        recorded = trace(layer, sequence, hx)
        assert type(recorded.output) is type(output)
        pairs = [(data(recorded.output), data(output))]
        pairs += zip(parts(recorded.state), parts(final), strict=True)
        for got, expected in pairs:
            torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
        # The hidden states of the last layer, both directions concatenated, are the output.
        hidden = [data(cell.hidden) for cell in recorded.cells[-configuration.directions :]]
        assert torch.equal(torch.cat(hidden, dim=-1), data(recorded.output))
        assert [(cell.layer, cell.reverse) for cell in recorded] == [
            (layer, bool(direction))
            for layer in range(configuration.options["num_layers"])
            for direction in range(configuration.directions)
        ]


def expected_gates(kind: str, w: dict[str, Tensor], x: Tensor, h: Tensor) -> dict[str, Tensor]:
    """Transcribed equations: the gates of one sample at one time step, with 4 units."""

    def preactivation(gate: int) -> Tensor:
        return affine(w, "ih", gate, 4, x) + affine(w, "hh", gate, 4, h)

    if kind == "RNN":
        return {"candidate": tanh(preactivation(0))}
    if kind == "GRU":
        r = sigmoid(preactivation(0))
        n = tanh(affine(w, "ih", 2, 4, x) + r * affine(w, "hh", 2, 4, h))
        return {"reset": r, "update": sigmoid(preactivation(1)), "candidate": n}
    return {
        "input": sigmoid(preactivation(0)),
        "forget": sigmoid(preactivation(1)),
        "candidate": tanh(preactivation(2)),
        "output": sigmoid(preactivation(3)),
    }


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_gates_equal_the_equations(kind: str, reverse: bool) -> None:
    torch.manual_seed(0)
    layer = getattr(nn, kind)(3, 4, bidirectional=True, batch_first=True, dtype=torch.float64)
    suffix = "_l0_reverse" if reverse else "_l0"
    weights = {
        name.removesuffix(suffix): weight
        for name, weight in layer.state_dict().items()
        if name.endswith(suffix)
    }
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    recorded = trace(layer, x).of(0, reverse)
    for sample in range(2):
        h = torch.zeros(4, dtype=torch.float64)
        for t in reversed(range(5)) if reverse else range(5):
            expected = expected_gates(kind, weights, x[sample, t], h)
            assert recorded.gates._fields == tuple(expected)
            for name, gate in expected.items():
                got = getattr(recorded.gates, name)[sample, t]
                torch.testing.assert_close(got, gate, rtol=1e-12, atol=1e-12)
            h = recorded.hidden[sample, t]


def test_the_cell_state_is_recorded() -> None:
    recorded = trace(nn.LSTM(3, 4), torch.randn(5, 2, 3)).of(0)
    before = torch.cat([torch.zeros(1, 2, 4), recorded.cell[:-1]])
    i, f, g, o = recorded.gates
    torch.testing.assert_close(recorded.cell, f * before + i * g)
    torch.testing.assert_close(recorded.hidden, o * recorded.cell.tanh())


def test_packed_sequences_have_the_same_gates_as_single_ones() -> None:
    torch.manual_seed(0)
    layer = nn.GRU(3, 4, bidirectional=True, dtype=torch.float64)
    sequences = [torch.randn(length, 3, dtype=torch.float64) for length in (2, 5)]
    packed = nn.utils.rnn.pack_sequence(sequences, enforce_sorted=False)
    for reverse in (False, True):
        together = trace(layer, packed).of(0, reverse)
        reset, _ = pad_packed_sequence(together.gates.reset)
        for sample, x in enumerate(sequences):
            alone = trace(layer, x).of(0, reverse)
            torch.testing.assert_close(reset[: len(x), sample], alone.gates.reset)


def test_gradients_flow_through_a_trace() -> None:
    x = torch.randn(5, 2, 3, requires_grad=True)
    forget = trace(scratch_cells.LSTM(3, 4), x).of(0).gates.forget
    (gradient,) = torch.autograd.grad(forget[2].sum(), x)
    assert gradient[:3].abs().min() > 0
    assert gradient[3:].abs().max() == 0  # a gate does not depend on later time steps


def test_of_accepts_negative_layer_indices() -> None:
    recorded = trace(scratch_cells.GRU(3, 4, num_layers=3, bidirectional=True), torch.randn(5, 3))
    last: CellTrace = recorded.of(-1, reverse=True)
    assert last is recorded.cells[5]
    assert recorded.of(1) is recorded.cells[2]
    with pytest.raises(IndexError):
        recorded.of(3)


def test_tracing_another_module_raises() -> None:
    with pytest.raises(TypeError, match="cannot trace Linear: expected a layer of scratch_cells"):
        trace(nn.Linear(3, 4), torch.zeros(2, 3))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_in_jupyter_a_trace_is_a_table_with_a_row_for_each_gate_and_state(kind: str) -> None:
    layer = getattr(scratch_cells, kind)(3, 2, num_layers=2, bidirectional=True)
    recorded = trace(layer, torch.randn(4, 1, 3))
    names = [*recorded.of(0).gates._fields, *recorded.of(0).states]
    html = recorded._repr_html_()
    assert html.count("<tr>") == 1 + 4 * len(names)
    assert all(f"<td>{name}</td>" in html for name in names)
    assert "<td>(4, 1, 2)</td>" in html


@pytest.mark.parametrize("package", [scratch_cells, nn])
@pytest.mark.parametrize("weight", ["weight_ih_l0", "weight_hh_l1", "bias_hh_l0"])
def test_tensors_on_several_devices_are_an_error_as_in_a_call(weight: str, package: Any) -> None:
    """Without a check, torch's F.linear reads memory that was never written."""
    x = torch.randn(5, 2, 3)
    words = "Input and parameter tensors are not at the same device, found input tensor at "
    layer = package.LSTM(3, 4, 2)
    with pytest.raises(RuntimeError, match=f"^{words}meta and parameter tensor at cpu$"):
        trace(layer, x.to("meta"))
    setattr(layer, weight, nn.Parameter(getattr(layer, weight).to("meta")))
    with pytest.raises(RuntimeError, match=f"^{words}cpu and parameter tensor at meta$"):
        trace(layer, x)
    state = (torch.zeros(2, 2, 4, device="meta"), torch.zeros(2, 2, 4))
    with pytest.raises(RuntimeError, match=r"^Input and hidden tensors are not at the"):
        trace(package.LSTM(3, 4, 2), x, state)
