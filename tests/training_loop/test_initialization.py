"""training_loop/initialization.py: the schemes, equal for scratch and builtin layers."""

import math

import pytest
import torch
from torch import nn

import builtin_models
import scratch_cells
from examples.minimal_gated_cell import MinimalGatedCell
from training_loop.initialization import initialize

PACKAGES = (scratch_cells, builtin_models, nn)
EACH = pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
SIZE = 6


def initialized(package: object, kind: str, scheme: str, **options: object) -> nn.Module:
    torch.manual_seed(3)
    layer: nn.Module = getattr(package, kind)(4, SIZE, 2, bidirectional=True, **options)
    initialize(layer, scheme, time=100)
    return layer


@EACH
@pytest.mark.parametrize("scheme", ["torch", "orthogonal", "chrono", "uniform-gate"])
def test_every_implementation_has_the_same_weights(kind: str, scheme: str) -> None:
    states, generators = [], []
    for package in PACKAGES:
        states.append(initialized(package, kind, scheme).state_dict())
        generators.append(torch.get_rng_state())
    for state, generator in zip(states[1:], generators[1:], strict=True):
        assert list(state) == list(states[0])
        assert all(torch.equal(state[name], states[0][name]) for name in state)
        assert torch.equal(generator, generators[0])


@EACH
def test_torch_leaves_the_weights_of_torch_nn(kind: str) -> None:
    torch.manual_seed(3)
    untouched = getattr(nn, kind)(4, SIZE, 2, bidirectional=True).state_dict()
    state = initialized(scratch_cells, kind, "torch").state_dict()
    assert all(torch.equal(state[name], untouched[name]) for name in untouched)


@EACH
@pytest.mark.parametrize("scheme", ["orthogonal", "chrono", "uniform-gate"])
def test_the_recurrent_weights_of_each_gate_are_orthogonal(kind: str, scheme: str) -> None:
    before = initialized(scratch_cells, kind, "torch").state_dict()
    state = initialized(scratch_cells, kind, scheme).state_dict()
    matrices = [state[name] for name in state if name.startswith("weight_hh")]
    assert len(matrices) == 4
    for matrix in matrices:
        for gate in matrix.chunk(GATES[kind]):
            torch.testing.assert_close(gate @ gate.T, torch.eye(SIZE), rtol=0, atol=1e-5)
    for name in state:  # input weights are those of torch.nn
        if name.startswith("weight_ih"):
            assert torch.equal(state[name], before[name])


@EACH
def test_orthogonal_sets_the_forget_bias_to_1_and_others_to_0(kind: str) -> None:
    state = initialized(builtin_models, kind, "orthogonal").state_dict()
    for name, bias in state.items():
        if name.startswith("bias"):
            expected = torch.zeros(GATES[kind], SIZE)
            if kind == "LSTM" and "ih" in name:
                expected[1] = 1
            assert torch.equal(bias.view(GATES[kind], SIZE), expected), name


def test_chrono_biases_of_an_lstm() -> None:
    state = initialized(scratch_cells, "LSTM", "chrono", dtype=torch.float64).state_dict()
    i, f, g, o = state["bias_ih_l1_reverse"].chunk(4)
    assert torch.equal(i, -f)
    assert f.unique().numel() == SIZE
    assert ((f >= 0) & (f <= math.log(99))).all()
    for zero in (g, o, state["bias_hh_l1_reverse"]):
        assert (zero == 0).all()


def test_chrono_biases_of_a_gru() -> None:
    state = initialized(scratch_cells, "GRU", "chrono").state_dict()
    r, z, n = state["bias_ih_l0"].chunk(3)
    assert z.unique().numel() == SIZE
    assert ((z >= 0) & (z <= math.log(99))).all()
    for zero in (r, n, state["bias_hh_l0"]):
        assert (zero == 0).all()


def kept_share(kind: str, scheme: str, units: int, time: int) -> tuple[torch.Tensor, ...]:
    """σ of the bias of the gate that keeps the state; then the biases of each gate."""
    torch.manual_seed(5)
    layer = getattr(scratch_cells, kind)(1, units, dtype=torch.float64)
    initialize(layer, scheme, time)
    gates = (layer.bias_ih_l0 + layer.bias_hh_l0).detach().chunk(GATES[kind])
    return torch.sigmoid(gates[1]), *gates  # forget gate of an LSTM, update gate of a GRU


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_uniform_gates_are_uniform_from_1_over_h_to_1_minus_that(kind: str) -> None:
    units = 500
    f, *gates = kept_share(kind, "uniform-gate", units, time=7)
    assert 1 / units <= f.min()
    assert f.max() <= 1 - 1 / units
    # Kolmogorov and Smirnov: a uniform sample of 500 is nearer than this with probability 0.999
    steps = torch.arange(1, units + 1) / units
    assert (f.sort().values - steps).abs().max() < 1.95 / units**0.5
    expected = {"LSTM": -gates[1], "GRU": torch.zeros(units, dtype=torch.float64)}[kind]
    assert torch.equal(gates[0], expected)  # input gate; reset gate
    for zero in gates[2:]:
        assert (zero == 0).all()


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_chrono_steps_are_uniform_between_1_and_time_minus_1(kind: str) -> None:
    units, time = 500, 784
    f, *_ = kept_share(kind, "chrono", units, time)
    steps = 1 / (1 - f) - 1  # T of eq. 16: a gate T / (T + 1) forgets in about T + 1 steps
    assert steps.min() >= 1 - 1e-9
    assert steps.max() <= time - 1 + 1e-6
    shares = ((steps - 1) / (time - 2)).sort().values
    assert (shares - torch.arange(1, units + 1) / units).abs().max() < 1.95 / units**0.5


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_uniform_gates_are_finite_for_one_unit(kind: str) -> None:
    f, *_ = kept_share(kind, "uniform-gate", 1, time=7)
    assert f.item() == 0.5


def test_chrono_is_finite_for_a_sequence_of_one_step() -> None:
    layer = scratch_cells.LSTM(2, 3)
    initialize(layer, "chrono", time=1)
    assert torch.isfinite(layer.bias_ih_l0).all()


def test_a_users_cell_gets_orthogonal_weights_and_keeps_its_biases() -> None:
    torch.manual_seed(0)
    layer = scratch_cells.layer_of(MinimalGatedCell)(3, SIZE)
    before = {name: weight.clone() for name, weight in layer.state_dict().items()}
    initialize(layer, "orthogonal", time=10)
    for gate in layer.weight_hh_l0.chunk(2):
        torch.testing.assert_close(gate @ gate.T, torch.eye(SIZE), rtol=0, atol=1e-5)
    for name in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0"):
        assert torch.equal(layer.state_dict()[name], before[name])


def test_other_modules_are_unchanged() -> None:
    layer = nn.Linear(3, 3)
    before = layer.weight.clone()
    initialize(layer, "orthogonal", time=10)
    assert torch.equal(layer.weight, before)
