"""A learned initial state, and layers of different sizes."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

import builtin_models
import scratch_cells
from scratch_cells import LayerStack, LearnedInitialState
from scratch_cells.cell import parts
from shared_interface import SequenceClassifier

each_layer = pytest.mark.parametrize(
    "layer_class",
    [
        getattr(package, kind)
        for package in (scratch_cells, builtin_models)
        for kind in ("RNN", "GRU", "LSTM")
    ],
    ids=lambda cls: f"{cls.__module__.split('.')[0]}.{cls.__name__}",
)


@each_layer
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_learned_initial_state_is_used_and_learned(layer_class: Any, bidirectional: bool) -> None:
    torch.manual_seed(0)
    layer = layer_class(3, 4, num_layers=2, bidirectional=bidirectional, dtype=torch.float64)
    model = LearnedInitialState(layer)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(model(x), layer(x))  # zeros before training
    for part in model.initial_state:
        nn.init.normal_(part)
    state = [part.unsqueeze(1).repeat(1, 2, 1) for part in model.initial_state]
    hx = tuple(state) if len(state) > 1 else state[0]
    output, final = model(x)
    torch.testing.assert_close((output, final), layer(x, hx))
    (output.sum() + sum(part.sum() for part in parts(final))).backward()
    for part in model.initial_state:
        assert part.grad is not None
        assert (part.grad != 0).all()
    packed = pack_sequence([x[:, 0], x[:3, 1]])
    torch.testing.assert_close(model(packed)[0].data, layer(packed, hx)[0].data)
    torch.testing.assert_close(model(x[:, 0])[0], output[:, 0])
    zeros = tuple(torch.zeros_like(part) for part in state)
    torch.testing.assert_close(model(x, zeros if len(zeros) > 1 else zeros[0]), layer(x))


@each_layer
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_stack_equals_its_layers_one_after_the_other(
    layer_class: Any, bidirectional: bool
) -> None:
    torch.manual_seed(0)
    options = {"bidirectional": bidirectional, "batch_first": True, "dtype": torch.float64}
    stack = LayerStack(layer_class, 3, [5, 2, 4], **options)
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    output, states = stack(x)
    data = x
    for layer, state, size in zip(stack.layers, states, [5, 2, 4], strict=True):
        data, right = layer(data)
        torch.testing.assert_close(state, right)
        assert parts(state)[0].shape == (1 + bidirectional, 2, size)
    torch.testing.assert_close(output, data)
    first, middle = stack(x[:, :2])
    second, final = stack(x[:, 2:], middle)
    if not bidirectional:
        torch.testing.assert_close(torch.cat([first, second], dim=1), output)
        torch.testing.assert_close(final, states)
    packed = pack_sequence([x[0], x[1, :3]])
    assert stack(packed)[0].data.shape == (9, 4 * (1 + bidirectional))


@each_layer
def test_a_stack_of_equal_sizes_equals_one_layer_with_dropout(layer_class: Any) -> None:
    torch.manual_seed(0)
    one = layer_class(3, 4, num_layers=2, dropout=0.5)
    stack = LayerStack(layer_class, 3, [4, 4], dropout=0.5)
    for index, layer in enumerate(stack.layers):
        for name, weight in layer.named_parameters():
            weight.data.copy_(getattr(one, name.replace("_l0", f"_l{index}")))
    x = torch.randn(6, 2, 3)
    for module in (one.eval(), stack.eval()):
        assert not module.training
    torch.testing.assert_close(stack(x)[0], one(x)[0])
    one.train(), stack.train()
    torch.manual_seed(1)
    right, _ = one(x)
    torch.manual_seed(1)
    torch.testing.assert_close(stack(x)[0], right)


def test_a_stack_and_a_learned_state_classify() -> None:
    x = torch.randn(2, 6, 3)
    stack = LayerStack(scratch_cells.LSTM, 3, [5, 4], batch_first=True)
    model = SequenceClassifier(stack, 7)
    torch.testing.assert_close(model(x), model.readout(stack(x)[0][:, -1]))
    learned = LearnedInitialState(scratch_cells.GRU(3, 4, batch_first=True))
    assert SequenceClassifier(learned, 7)(x).shape == (2, 7)


def test_wrong_arguments_raise() -> None:
    with pytest.raises(ValueError, match="hidden_sizes is empty"):
        LayerStack(scratch_cells.GRU, 3, [])
    with pytest.raises(ValueError, match="expected a list of 2 states, got 1"):
        LayerStack(scratch_cells.GRU, 3, [4, 5])(torch.zeros(2, 1, 3), [torch.zeros(1, 1, 4)])


def test_the_mode_of_each_module_is_kept() -> None:
    layer = scratch_cells.GRU(3, 4, num_layers=2)
    layer.cells[0].eval()
    modes = [module.training for module in layer.modules()]
    LearnedInitialState(layer)
    assert [module.training for module in layer.modules()] == modes


@pytest.mark.parametrize(
    "layer",
    [torch.nn.Linear(3, 3), scratch_cells.GRUCell(3, 4), LayerStack(scratch_cells.GRU, 3, [4])],
)
def test_a_learned_initial_state_of_something_else_raises(layer: Any) -> None:
    with pytest.raises(TypeError, match=f"layer is a {type(layer).__name__}: expected a layer"):
        LearnedInitialState(layer)


def test_the_layer_raises_for_a_wrong_input() -> None:
    layer = LearnedInitialState(scratch_cells.GRU(3, 4))
    with pytest.raises(ValueError, match="2D or 3D, got 1D"):
        layer(torch.randn(3))


def test_wrong_sizes_of_a_stack_raise() -> None:
    with pytest.raises(TypeError, match="hidden_sizes should be a list"):
        LayerStack(scratch_cells.GRU, 3, 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="hidden_sizes determines the number"):
        LayerStack(scratch_cells.GRU, 3, [5], num_layers=2)
