"""training_loop/initialization.py: what the first weights are, and that both packages get them."""

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


def draw(package: object, kind: str, how: str, **options: object) -> nn.Module:
    torch.manual_seed(3)
    layer: nn.Module = getattr(package, kind)(4, SIZE, 2, bidirectional=True, **options)
    initialize(layer, how, time=100)
    return layer


@EACH
@pytest.mark.parametrize("how", ["torch", "orthogonal", "chrono"])
def test_every_implementation_gets_the_same_weights(kind: str, how: str) -> None:
    states, generators = [], []
    for package in PACKAGES:
        states.append(draw(package, kind, how).state_dict())
        generators.append(torch.get_rng_state())
    for state, generator in zip(states[1:], generators[1:], strict=True):
        assert list(state) == list(states[0])
        assert all(torch.equal(state[name], states[0][name]) for name in state)
        assert torch.equal(generator, generators[0])


@EACH
def test_torch_is_torchs_own(kind: str) -> None:
    torch.manual_seed(3)
    untouched = getattr(nn, kind)(4, SIZE, 2, bidirectional=True).state_dict()
    state = draw(scratch_cells, kind, "torch").state_dict()
    assert all(torch.equal(state[name], untouched[name]) for name in untouched)


@EACH
@pytest.mark.parametrize("how", ["orthogonal", "chrono"])
def test_the_recurrence_of_each_gate_keeps_every_length(kind: str, how: str) -> None:
    before = draw(scratch_cells, kind, "torch").state_dict()
    state = draw(scratch_cells, kind, how).state_dict()
    matrices = [state[name] for name in state if name.startswith("weight_hh")]
    assert len(matrices) == 4
    for matrix in matrices:
        for gate in matrix.chunk(GATES[kind]):
            torch.testing.assert_close(gate @ gate.T, torch.eye(SIZE), rtol=0, atol=1e-5)
    for name in state:  # input weights stay as torch.nn draws them
        if name.startswith("weight_ih"):
            assert torch.equal(state[name], before[name])


@EACH
def test_a_forget_gate_starts_open(kind: str) -> None:
    state = draw(builtin_models, kind, "orthogonal").state_dict()
    for name, bias in state.items():
        if name.startswith("bias"):
            expected = torch.zeros(GATES[kind], SIZE)
            if kind == "LSTM" and "ih" in name:
                expected[1] = 1
            assert torch.equal(bias.view(GATES[kind], SIZE), expected), name


def test_chrono_spreads_an_lstms_memory_over_the_sequence() -> None:
    state = draw(scratch_cells, "LSTM", "chrono", dtype=torch.float64).state_dict()
    i, f, g, o = state["bias_ih_l1_reverse"].chunk(4)
    assert torch.equal(i, -f)
    assert f.unique().numel() == SIZE
    assert ((f >= 0) & (f <= math.log(99))).all()
    for zero in (g, o, state["bias_hh_l1_reverse"]):
        assert (zero == 0).all()


def test_chrono_spreads_a_grus_memory_over_the_sequence() -> None:
    state = draw(scratch_cells, "GRU", "chrono").state_dict()
    r, z, n = state["bias_ih_l0"].chunk(3)
    assert z.unique().numel() == SIZE
    assert ((z >= 0) & (z <= math.log(99))).all()
    for zero in (r, n, state["bias_hh_l0"]):
        assert (zero == 0).all()


def test_a_sequence_of_one_step_has_a_chrono_too() -> None:
    layer = scratch_cells.LSTM(2, 3)
    initialize(layer, "chrono", time=1)
    assert torch.isfinite(layer.bias_ih_l0).all()


def test_a_users_cell_gets_its_recurrence_and_keeps_its_biases() -> None:
    torch.manual_seed(0)
    layer = scratch_cells.layer_of(MinimalGatedCell)(3, SIZE)
    before = {name: weight.clone() for name, weight in layer.state_dict().items()}
    initialize(layer, "orthogonal", time=10)
    for gate in layer.weight_hh_l0.chunk(2):
        torch.testing.assert_close(gate @ gate.T, torch.eye(SIZE), rtol=0, atol=1e-5)
    for name in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0"):
        assert torch.equal(layer.state_dict()[name], before[name])


def test_a_layer_of_another_kind_is_left_alone() -> None:
    layer = nn.Linear(3, 3)
    before = layer.weight.clone()
    initialize(layer, "orthogonal", time=10)
    assert torch.equal(layer.weight, before)
