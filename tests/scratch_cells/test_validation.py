"""An invalid argument or input raises torch.nn's exception type with torch.nn's message.

Each call is made on torch.nn first; its exception is the expected one.
"""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn, zeros
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import builtin_models
import scratch_cells

LAYERS = ("RNN", "GRU", "LSTM")


def outcome(call: Callable[[], Any]) -> tuple[type, str]:
    """The type and the message of the exception that a call raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  # whatever it raises
        call()
    return caught.type, str(caught.value)


def assert_same_outcome(call: Callable[[Any], Any], packages: tuple[Any, ...]) -> None:
    expected = outcome(lambda: call(nn))
    for package in packages:
        assert outcome(lambda package=package: call(package)) == expected


BOTH = (scratch_cells, builtin_models)
OURS = (scratch_cells,)


# --- constructors -----------------------------------------------------------------------------

INVALID_OPTIONS: list[dict[str, Any]] = [
    {"dropout": -0.1},
    {"dropout": 1.1},
    {"dropout": True},
    {"dropout": "a"},
    {"dropout": None},
    {"bias": 1},
    {"bias": None},
    {"batch_first": "yes"},
    {"batch_first": 0},
    {"input_size": 2.0},
    {"input_size": "3"},
    {"input_size": 0},
    {"input_size": -1},
    {"hidden_size": 4.0},
    {"hidden_size": 0},
    {"hidden_size": -4},
    {"num_layers": 0},
    {"num_layers": -2},
    {"num_layers": "2"},
    # two invalid arguments: the order of the checks
    {"dropout": 2, "bias": 1},
    {"bias": 1, "batch_first": 1},
    {"batch_first": 1, "input_size": 0},
    {"input_size": 0, "hidden_size": 0},
    {"hidden_size": 0, "num_layers": 0},
]


@pytest.mark.parametrize("options", INVALID_OPTIONS, ids=str)
@pytest.mark.parametrize("kind", LAYERS)
def test_constructor_raises_as_torch(kind: str, options: dict[str, Any]) -> None:
    arguments = {"input_size": 3, "hidden_size": 4} | options
    assert_same_outcome(lambda package: getattr(package, kind)(**arguments), BOTH)


@pytest.mark.parametrize("proj_size", [-1, 4, 5])
def test_invalid_proj_size_raises_as_torch(proj_size: int) -> None:
    assert_same_outcome(lambda package: package.LSTM(3, 4, proj_size=proj_size), BOTH)


@pytest.mark.parametrize("kind", ["RNN", "GRU"])
def test_any_proj_size_raises_for_rnn_and_gru(kind: str) -> None:
    for proj_size in (0, 2):
        assert_same_outcome(lambda p, size=proj_size: getattr(p, kind)(3, 4, proj_size=size), BOTH)


def test_invalid_nonlinearity_raises_as_torch() -> None:
    assert_same_outcome(lambda package: package.RNN(3, 4, nonlinearity="sigmoid"), BOTH)
    assert_same_outcome(lambda package: package.RNN(3, 4, 1, "sigmoid"), BOTH)
    for kind in ("GRU", "LSTM"):
        for package in (nn, *BOTH):
            with pytest.raises(TypeError, match="unexpected keyword argument 'nonlinearity'"):
                getattr(package, kind)(3, 4, nonlinearity="tanh")


def test_an_unknown_argument_raises_as_torch() -> None:
    for kind in LAYERS:
        for package in (nn, *BOTH):
            with pytest.raises(TypeError, match="unexpected keyword argument 'depth'"):
                getattr(package, kind)(3, 4, depth=2)
            with pytest.raises(TypeError, match="hidden_size"):
                getattr(package, kind)(3)


@pytest.mark.parametrize("package", [nn, *BOTH])
def test_positional_arguments_have_torchs_order(package: Any) -> None:
    """Also: a positional device at the position of proj_size raises TypeError, as in torch.nn."""
    rnn = package.RNN(3, 4, 2, "relu", False, True, 0.5, True)
    assert rnn.nonlinearity == "relu"
    others = [package.GRU(3, 4, 2, False, True, 0.5, True)]
    lstm = package.LSTM(3, 4, 2, False, True, 0.5, True, 2, "meta", torch.float16)
    assert lstm.proj_size == 2
    assert {(w.device.type, w.dtype) for w in lstm.parameters()} == {("meta", torch.float16)}
    for layer in (rnn, *others, lstm):
        assert (layer.input_size, layer.hidden_size, layer.num_layers) == (3, 4, 2)
        assert layer.bias is False
        assert layer.batch_first is True
        assert layer.dropout == 0.5
        assert layer.bidirectional is True
    with pytest.raises(TypeError):
        package.GRU(3, 4, 1, True, False, 0.0, False, "cpu")
    with pytest.raises(TypeError):
        package.RNN(3, 4, 1, "tanh", True, False, 0.0, False, "cpu")
    assert package.GRU(3, 4, 1, True, False, 0.0, False, 0, "meta").proj_size == 0


@pytest.mark.parametrize("kind", LAYERS)
def test_dropout_with_one_layer_warns_at_the_callers_line(kind: str) -> None:
    messages = []
    for package in (nn, scratch_cells):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            getattr(package, kind)(3, 4, dropout=0.5)
        assert [w.category for w in caught] == [UserWarning]
        messages.append(str(caught[0].message))
    assert messages[0] == messages[1]
    assert caught[0].filename == __file__


def test_bidirectional_is_not_type_checked() -> None:
    for package in (nn, scratch_cells):
        assert "weight_ih_l0_reverse" in package.GRU(3, 4, bidirectional="yes").state_dict()


# --- calls of layers ----------------------------------------------------------------------------

Call = Callable[[nn.Module, Callable[..., Any]], Any]

INVALID_CALLS: dict[str, Call] = {
    "0-D": lambda layer, state: layer(zeros(())),
    "1-D": lambda layer, state: layer(zeros(3)),
    "4-D": lambda layer, state: layer(zeros(2, 2, 2, 3)),
    "no time step": lambda layer, state: layer(zeros(0, 2, 3)),
    "no time step, unbatched": lambda layer, state: layer(zeros(0, 3)),
    "features": lambda layer, state: layer(zeros(5, 2, 7)),
    "features, unbatched": lambda layer, state: layer(zeros(5, 7)),
    "dtype": lambda layer, state: layer(zeros(5, 2, 3, dtype=torch.float64)),
    "integers": lambda layer, state: layer(zeros(5, 2, 3, dtype=torch.int64)),
    "dtype before features": lambda layer, state: layer(zeros(5, 2, 7, dtype=torch.float64)),
    "features before state": lambda layer, state: layer(zeros(5, 2, 7), state(1, 9, 4)),
    "state dim before dtype": lambda layer, state: layer(zeros(5, 2, 3).double(), state(2, 4)),
    "batched, 2-D state": lambda layer, state: layer(zeros(5, 2, 3), state(2, 4)),
    "batched, 4-D state": lambda layer, state: layer(zeros(5, 2, 3), state(1, 1, 2, 4)),
    "unbatched, 3-D state": lambda layer, state: layer(zeros(5, 3), state(1, 2, 4)),
    "unbatched, 1-D state": lambda layer, state: layer(zeros(5, 3), state(4)),
    "state layers": lambda layer, state: layer(zeros(5, 2, 3), state(2, 2, 4)),
    "state batch": lambda layer, state: layer(zeros(5, 2, 3), state(1, 3, 4)),
    "state size": lambda layer, state: layer(zeros(5, 2, 3), state(1, 2, 5)),
    "unbatched state size": lambda layer, state: layer(zeros(5, 3), state(1, 5)),
    "packed dtype": lambda layer, state: layer(
        pack_padded_sequence(zeros(5, 2, 3).double(), torch.tensor([5, 2]))
    ),
}


def state_maker(kind: str) -> Callable[..., Any]:
    return lambda *size: (zeros(size), zeros(size)) if kind == "LSTM" else zeros(size)


@pytest.mark.parametrize("name", INVALID_CALLS)
@pytest.mark.parametrize("kind", LAYERS)
def test_an_invalid_call_raises_as_torch(kind: str, name: str) -> None:
    def call(package: Any) -> Any:
        return INVALID_CALLS[name](getattr(package, kind)(3, 4), state_maker(kind))

    if name == "packed dtype" and kind == "LSTM":
        # torch.nn.LSTM checks neither dtype nor features of packed input. Ours raises the error
        # that torch.nn.LSTM raises for batched input.
        with pytest.raises(ValueError, match="RNN input dtype"):
            call(scratch_cells)
        return
    assert_same_outcome(call, BOTH)


@given(
    kind=st.sampled_from(LAYERS),
    batch_first=st.booleans(),
    input_shape=st.lists(st.integers(0, 4), max_size=4),
    state_shape=st.lists(st.integers(1, 4), min_size=1, max_size=4),
)
def test_any_shapes_give_the_result_or_the_error_of_torch(
    kind: str, batch_first: bool, input_shape: list[int], state_shape: list[int]
) -> None:
    """The output has torch.nn's shape, or the exception has torch.nn's type and message."""
    results = []
    for package in (nn, scratch_cells):
        torch.manual_seed(0)
        layer = getattr(package, kind)(3, 4, batch_first=batch_first)
        try:
            output, _ = layer(zeros(input_shape), state_maker(kind)(*state_shape))
            results.append(output.shape)
        except Exception as error:
            results.append((type(error), str(error)))
    assert results[0] == results[1]


@pytest.mark.parametrize("kind", ["RNN", "GRU"])
def test_invalid_packed_input_and_state_raise_as_torch(kind: str) -> None:
    packed = pack_padded_sequence(zeros(5, 2, 7), torch.tensor([5, 2]))
    assert_same_outcome(lambda package: getattr(package, kind)(3, 4)(packed), BOTH)
    packed = pack_padded_sequence(zeros(5, 2, 3), torch.tensor([5, 2]))
    assert_same_outcome(lambda p: getattr(p, kind)(3, 4)(packed, zeros(1, 3, 4)), BOTH)
    assert_same_outcome(lambda p: getattr(p, kind)(3, 4)(packed, zeros(1, 4)), BOTH)


def test_lstm_checks_the_features_of_packed_input() -> None:
    """torch.nn.LSTM does not (pytorch issue 195803); the message is that for batched input."""
    packed = pack_padded_sequence(zeros(5, 2, 7), torch.tensor([5, 2]))
    with pytest.raises(RuntimeError, match=r"must be equal to input_size. Expected 3, got 7"):
        scratch_cells.LSTM(3, 4)(packed)


def test_an_incomplete_lstm_state_raises() -> None:
    h = zeros(1, 2, 4)
    assert_same_outcome(lambda package: package.LSTM(3, 4)(zeros(5, 2, 3), (h, None)), BOTH)
    assert_same_outcome(
        lambda package: package.LSTM(3, 4)(zeros(5, 2, 3), (zeros(1, 2, 4), zeros(1, 2, 5))), BOTH
    )
    for bad in ((h,), (h, h, h), h):
        with pytest.raises(RuntimeError, match="lstm expects two hidden states"):
            scratch_cells.LSTM(3, 4)(zeros(5, 2, 3), bad)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_state_with_another_dtype_raises(kind: str) -> None:
    state = state_maker(kind)(1, 2, 4)
    state = tuple(part.double() for part in state) if kind == "LSTM" else state.double()
    for package in (nn, scratch_cells):
        with pytest.raises(RuntimeError, match=r"dtype|data type"):
            getattr(package, kind)(3, 4)(zeros(5, 2, 3), state)


@pytest.mark.parametrize("kind", LAYERS)
def test_different_devices_raise_as_torch(kind: str) -> None:
    state, x = state_maker(kind), zeros(5, 2, 3)
    h = state(1, 2, 4)
    on_meta = tuple(part.to("meta") for part in h) if kind == "LSTM" else h.to("meta")
    for call in (
        lambda p: getattr(p, kind)(3, 4)(x.to("meta")),
        lambda p: getattr(p, kind)(3, 4, device="meta")(x),
        lambda p: getattr(p, kind)(3, 4)(x.to("meta"), h),
        lambda p: getattr(p, kind)(3, 4)(x, on_meta),
    ):
        assert_same_outcome(call, BOTH)


WRONG_BATCH_SIZES = {
    "more rows than the data": [3, 2, 9],
    "increasing": [2, 2, 3],
    "increasing from zero": [0, 4, 3],
    "increasing to all rows": [3, 4],
    "none": [],
}


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("sizes", WRONG_BATCH_SIZES.values(), ids=WRONG_BATCH_SIZES)
@pytest.mark.parametrize("kind", LAYERS)
def test_wrong_batch_sizes_raise_as_torch(kind: str, sizes: list[int], bidirectional: bool) -> None:
    packed = PackedSequence(zeros(7, 3), torch.tensor(sizes, dtype=torch.int64))
    assert_same_outcome(lambda p: getattr(p, kind)(3, 4, bidirectional=bidirectional)(packed), BOTH)


@pytest.mark.parametrize("kind", LAYERS)
def test_other_wrong_batch_sizes_raise(kind: str) -> None:
    """torch.nn raises, too, except for a size of one row that increases, which it broadcasts."""
    layer = getattr(scratch_cells, kind)(3, 4)
    for sizes in ([3, -1, 2], [3, 1, 3], [9]):
        with pytest.raises(RuntimeError, match=r"non-negative|must match|exceeds"):
            layer(PackedSequence(zeros(7, 3), torch.tensor(sizes)))
    int32 = PackedSequence(zeros(7, 3), torch.tensor([3, 2, 2], dtype=torch.int32))
    assert_same_outcome(lambda p: getattr(p, kind)(3, 4)(int32), BOTH)


@pytest.mark.parametrize("kind", LAYERS)
def test_rows_after_the_last_time_step_are_ignored_as_in_torch(kind: str) -> None:
    packed = PackedSequence(torch.randn(7, 3), torch.tensor([3, 2, 1]))
    ours, theirs = (getattr(package, kind)(3, 4) for package in (scratch_cells, nn))
    ours.load_state_dict(theirs.state_dict())
    assert ours(packed)[0].data.shape == theirs(packed)[0].data.shape == (6, 4)
    torch.testing.assert_close(ours(packed)[0].data, theirs(packed)[0].data)


# --- calls of cells -----------------------------------------------------------------------------

INVALID_CELL_CALLS: dict[str, Call] = {
    "0-D": lambda cell, state: cell(zeros(())),
    "3-D": lambda cell, state: cell(zeros(2, 2, 3)),
    "features": lambda cell, state: cell(zeros(2, 7)),
    "features, unbatched": lambda cell, state: cell(zeros(7)),
    "features before state": lambda cell, state: cell(zeros(2, 7), state(4, 6)),
    "3-D state": lambda cell, state: cell(zeros(2, 3), state(2, 2, 4)),
    "1-D state": lambda cell, state: cell(zeros(2, 3), state(4)),
    "2-D state, unbatched": lambda cell, state: cell(zeros(3), state(2, 4)),
    "state batch": lambda cell, state: cell(zeros(2, 3), state(3, 4)),
    "state size": lambda cell, state: cell(zeros(2, 3), state(2, 5)),
    "state size, unbatched": lambda cell, state: cell(zeros(3), state(5)),
    "dtype": lambda cell, state: cell(zeros(2, 3).double()),
}


@pytest.mark.parametrize("name", INVALID_CELL_CALLS)
@pytest.mark.parametrize("kind", LAYERS)
def test_an_invalid_cell_call_raises_as_torch(kind: str, name: str) -> None:
    def call(package: Any) -> Any:
        return INVALID_CELL_CALLS[name](getattr(package, f"{kind}Cell")(3, 4), state_maker(kind))

    expected, got = outcome(lambda: call(nn)), outcome(lambda: call(scratch_cells))
    if got[1].startswith("Expected 2D hidden"):
        # torch 2.11 does not check the number of dimensions yet and reports a wrong size instead
        expected = expected[0], expected[1] if "2D" in expected[1] else got[1]
    assert got == expected


def test_an_incomplete_lstm_cell_state_raises_as_torch() -> None:
    x, h = zeros(2, 3), zeros(2, 4)
    for bad in ((h, None), (h, zeros(3, 4)), (h, zeros(2, 5)), (h,)):
        assert_same_outcome(lambda package, bad=bad: package.LSTMCell(3, 4)(x, bad), OURS)


def test_nonlinearity_of_a_cell_is_validated_at_call_time() -> None:
    for package in (nn, scratch_cells):
        package.RNNCell(3, 4, nonlinearity="sigmoid")
    assert_same_outcome(lambda p: p.RNNCell(3, 4, nonlinearity="sigmoid")(zeros(2, 3)), OURS)


def test_repr_of_cells_equals_torchs() -> None:
    for arguments in ((3, 4), (3, 4, False), (3, 4, True, "relu")):
        ours, theirs = (p.RNNCell(*arguments).extra_repr() for p in (scratch_cells, nn))
        assert ours == theirs
