"""RNN, GRU and LSTM equal torch.nn's: outputs, states and gradients of drawn configurations."""

import pytest
import torch
from hypothesis import given
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

import builtin_models
import scratch_cells
from scratch_cells import layer_of
from tests.helpers.oracles import EQUATIONS, assert_same
from tests.helpers.strategies import Configuration, configurations

KINDS = ("RNN", "GRU", "LSTM")


@given(configurations())
def test_same_seed_gives_the_same_results(configuration: Configuration) -> None:
    ours, theirs = configuration.build(scratch_cells), configuration.build(nn)
    assert_same(ours, theirs, configuration, torch.float64)


@given(configurations())
def test_weights_loaded_from_torch_give_the_same_results(configuration: Configuration) -> None:
    ours, theirs = configuration.build(scratch_cells), configuration.build(nn)
    ours.reset_parameters()  # now the weights differ
    ours.load_state_dict(theirs.state_dict())
    assert_same(ours, theirs, configuration, torch.float64)


@given(configurations())
def test_weights_loaded_into_torch_give_the_same_results(configuration: Configuration) -> None:
    ours, theirs = configuration.build(scratch_cells), configuration.build(nn)
    ours.reset_parameters()
    theirs.load_state_dict(ours.state_dict())
    assert_same(ours, theirs, configuration, torch.float64)


@given(configurations(dtype=torch.float32))
def test_same_results_in_float32(configuration: Configuration) -> None:
    ours, theirs = configuration.build(scratch_cells), configuration.build(nn)
    assert_same(ours, theirs, configuration, torch.float32)


@given(configurations())
def test_builtin_equals_torch(configuration: Configuration) -> None:
    ours, theirs = configuration.build(builtin_models), configuration.build(nn)
    assert_same(ours, theirs, configuration, torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_equals_the_equations(kind: str) -> None:
    """The transcribed equations, one sample and one time step at a time, from a given state."""
    torch.manual_seed(0)
    layer = getattr(scratch_cells, kind)(3, 4, dtype=torch.float64)
    weights = {name.removesuffix("_l0"): weight for name, weight in layer.state_dict().items()}
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    parts = [torch.randn(1, 2, 4, dtype=torch.float64) for _ in range(2 if kind == "LSTM" else 1)]
    output, final = layer(x, tuple(parts) if kind == "LSTM" else parts[0])
    for sample in range(2):
        state = tuple(part[0, sample] for part in parts)
        for t in range(5):
            state = EQUATIONS[kind](weights, 4, x[t, sample], *state)
            state = state if isinstance(state, tuple) else (state,)
            torch.testing.assert_close(output[t, sample], state[0], rtol=1e-12, atol=1e-12)
        finals = final if isinstance(final, tuple) else (final,)
        for part, expected in zip(finals, state, strict=True):
            torch.testing.assert_close(part[0, sample], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layout", ["batched", "packed unsorted"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_equal_finite_differences(kind: str, layout: str) -> None:
    configuration = Configuration(
        kind,
        {"input_size": 2, "hidden_size": 2, "num_layers": 2, "bidirectional": True},
        layout=layout,
        time=3,
        batch=2,
        lengths=(1, 3),
    )
    layer = configuration.build(scratch_cells)
    names, weights = zip(*layer.named_parameters(), strict=True)
    _, x = configuration.input()
    state = configuration.state()

    def call(*leaves: torch.Tensor) -> tuple[torch.Tensor, ...]:
        arguments = dict(zip(names, leaves[: len(names)], strict=True))
        x, *given = leaves[len(names) :]
        if layout != "batched":
            lengths = torch.tensor(configuration.lengths)
            x = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        hx = tuple(given) if kind == "LSTM" else given[0]
        output, final = torch.func.functional_call(layer, arguments, (x, hx))
        output = output if layout == "batched" else output.data
        return (output, *(final if kind == "LSTM" else (final,)))

    assert gradcheck(call, (*weights, x, *state), fast_mode=True)
    assert gradgradcheck(call, (*weights, x, *state), fast_mode=True)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_read_at_call_time(kind: str) -> None:
    for package in (scratch_cells, nn):
        layer = getattr(package, kind)(3, 4, 2)
        layer.dropout = 1.0
        output, _ = layer(torch.randn(5, 2, 3))
        # The second layer reads only zeros: all samples give the same output, which is not zero.
        assert torch.equal(output[:, 0], output[:, 1])
        assert output.abs().max() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_repr_shows_sizes_then_values_that_are_not_the_default(kind: str) -> None:
    for options in ({}, {"num_layers": 2, "dropout": 0.1}, {"bias": False, "batch_first": True}):
        ours, theirs = (getattr(p, kind)(3, 4, **options) for p in (scratch_cells, nn))
        assert ours.extra_repr() == theirs.extra_repr()


def test_layer_of_names_the_layer_after_the_cell() -> None:
    layer = layer_of(scratch_cells.GRUCell)
    assert layer.__name__ == "GRU"
    assert list(layer(3, 4).state_dict()) == list(nn.GRU(3, 4).state_dict())
