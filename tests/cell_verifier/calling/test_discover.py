"""Discovering how a module is called."""

import torch
from torch import nn

from cell_verifier.calling.conventions import CellConvention, LayerConvention
from cell_verifier.calling.discover import (
    CallAttempts,
    cell_return_layouts,
    cell_trials,
    layer_return_layouts,
    layer_trials,
)
from cell_verifier.calling.multi_layer import run_multi_layer
from cell_verifier.calling.state_argument import may_take_state, state_keywords
from cell_verifier.reference.kinds import GRU, LSTM, RNN, Kind
from cell_verifier.reference.probes import (
    BATCH,
    HIDDEN_SIZE,
    INPUT_SIZE,
    TIME,
    draw_probe,
)
from cell_verifier.reference.simulate import LayerConfig

H, I = HIDDEN_SIZE, INPUT_SIZE  # noqa: E741 - the letters of the whole package


def cell_convention(module: nn.Module, kind: Kind) -> CellConvention:
    """The first convention under which the module runs as a cell."""
    probe = draw_probe(kind, dtype=torch.float32)
    convention = cell_trials(CallAttempts(module), kind, probe)[0].convention
    assert isinstance(convention, CellConvention)
    return convention


def layer_convention(module: nn.Module, kind: Kind) -> LayerConvention:
    """The first convention under which the module runs as a layer."""
    probe = draw_probe(kind, cells=1, dtype=torch.float32)
    convention = layer_trials(CallAttempts(module), kind, probe)[0].convention
    assert isinstance(convention, LayerConvention)
    return convention


def test_torchs_lstm_cell_is_called_with_x_and_a_pair() -> None:
    convention = cell_convention(nn.LSTMCell(I, H), LSTM)
    assert convention.argument_order.words == "x, (h, c)"
    assert convention.describe() == "a cell: cell(x, (h, c)) returns (h, c)"


class StateFirst(nn.Module):
    """A cell called as cell(h, x) that returns an output before its state."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(I, H)

    def forward(self, h, x):
        h = self.cell(x, h)
        return 2 * h, h


def test_a_cell_with_the_state_first_and_an_output_is_discovered() -> None:
    convention = cell_convention(StateFirst(), GRU)
    assert convention.argument_order.words == "h, x"
    assert convention.return_layout.output == 0
    assert convention.return_layout.state == (1,)


class KeywordState(nn.Module):
    """A cell whose state is keyword-only."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.RNNCell(I, H)

    def forward(self, x, *, hidden):
        return self.cell(x, hidden)


def test_a_keyword_only_state_is_passed_by_keyword() -> None:
    assert state_keywords(KeywordState()) == ("hidden",)
    convention = cell_convention(KeywordState(), RNN)
    assert convention.argument_order.words == "x, hidden=h"


def test_batch_first_of_a_layer_is_discovered() -> None:
    assert layer_convention(nn.LSTM(I, H, batch_first=True), LSTM).batch_first
    assert not layer_convention(nn.LSTM(I, H), LSTM).batch_first


class LastOnly(nn.Module):
    """A layer that takes no state and returns its last h."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(I, H)

    def forward(self, x):
        return self.layer(x)[1][0]


def test_a_layer_without_an_initial_state_is_called_without_one() -> None:
    convention = layer_convention(LastOnly(), GRU)
    assert not convention.takes_state
    assert convention.output is None
    assert convention.state == (0,)


def test_a_second_argument_with_a_number_as_default_is_not_a_state() -> None:
    class Reversible(nn.Module):
        def forward(self, x, reverse=False):
            return x

    assert not may_take_state(Reversible())
    assert may_take_state(nn.RNNCell(I, H))


def test_one_tensor_of_h_and_c_is_split() -> None:
    (layout,) = cell_return_layouts(LSTM, [torch.zeros(BATCH, 2 * H)], (BATCH, H))
    assert layout.join == "concatenated"
    h, c = layout.parts([torch.arange(2.0 * H).expand(BATCH, -1)])
    assert torch.equal(h[0], torch.arange(0.0, H))
    assert torch.equal(c[0], torch.arange(float(H), 2 * H))
    (layout,) = cell_return_layouts(LSTM, [torch.zeros(2, BATCH, H)], (BATCH, H))
    assert layout.join == "stacked"


def test_tensors_of_other_shapes_are_not_a_state() -> None:
    assert cell_return_layouts(LSTM, [torch.zeros(BATCH, H)], (BATCH, H)) == []
    assert cell_return_layouts(RNN, [torch.zeros(BATCH, H + 1)], (BATCH, H)) == []


def test_outputs_and_final_state_of_a_layer_are_distinguished_by_shape() -> None:
    call = layer_convention(nn.GRU(I, H), GRU)
    outputs, final = torch.zeros(TIME, BATCH, H), torch.zeros(1, BATCH, H)
    assert layer_return_layouts(call, [outputs, final], (TIME, BATCH, H)) == [(0, (1,))]
    assert layer_return_layouts(call, [final, outputs], (TIME, BATCH, H)) == [(1, (0,))]
    assert layer_return_layouts(call, [final], (TIME, BATCH, H)) == [(None, (0,))]


def test_errors_of_failed_attempts_are_recorded() -> None:
    attempts = CallAttempts(nn.Linear(I + 1, H))
    assert attempts.call(torch.zeros(BATCH, I)) is None
    assert len(attempts.errors) == 1


def test_a_bidirectional_two_layer_module_is_run_like_the_layer_of_one_cell() -> None:
    convention = layer_convention(nn.LSTM(I, H, batch_first=True), LSTM)
    config = LayerConfig(num_layers=2, num_directions=2)
    module = nn.LSTM(I, H, num_layers=2, bidirectional=True, batch_first=True)
    probe = draw_probe(LSTM, cells=4, dtype=torch.float32)
    with torch.no_grad():
        (observed,) = run_multi_layer(module, convention, probe, config)
        output, (h, c) = module(probe.x.transpose(0, 1), probe.state)
    assert torch.equal(observed["output"], output.transpose(0, 1))
    assert torch.equal(observed["h"], h)
    assert torch.equal(observed["c"], c)
