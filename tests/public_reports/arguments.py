"""Arguments, shapes, dtypes and devices."""

import warnings
from typing import Any

import torch
from torch.nn.utils.rnn import pack_sequence

from tests.public_reports.helpers import DOUBLE, KINDS, close, hidden_of, reference, state_like
from tests.public_reports.report import WRONG, raises, report

SIZES = raises("RuntimeError: input.size(-1) must be equal to input_size. Expected 13, got 2")


@report(
    "pytorch/pytorch#114874",
    "nn.LSTM tolerates wrong input shape when hidden state isn't provided.",
    torch_nn=SIZES,
    scratch_cells=SIZES,
    invalid=True,
)
def wrong_feature_size(layers: Any) -> None:
    """Call an LSTM without a state and with the wrong number of features."""
    layers.LSTM(13, 4, 2, batch_first=True)(torch.rand(3, 5, 2))


@report(
    "pytorch/pytorch#195803",
    "LSTM PackedSequence inputs produce inconsistent argument-validation errors",
    torch_nn=raises("RuntimeError: got an incorrect number of RNN parameters"),
    scratch_cells=raises("RuntimeError: Expected hidden[0] size (2, 3, 3), got [2, 3, 4]"),
    invalid=True,
    may_crash=True,
)
def packed_with_wrong_state(layers: Any) -> None:
    """Call an LSTM with a packed sequence and an h of the wrong size."""
    x = pack_sequence([torch.randn(length, 4) for length in (5, 3, 2)])
    layers.LSTM(4, 3, 2)(x, (torch.zeros(2, 3, 4), torch.zeros(2, 3, 3)))


@report(
    "pytorch/pytorch#3259",
    "Dimensions of GRU's hidden state mismatch but doesn't throw an error",
    torch_nn=raises("RuntimeError: Expected hidden size (2, 3, 5), got [4, 3, 5]"),
    scratch_cells=raises("RuntimeError: Expected hidden size (2, 3, 5), got [4, 3, 5]"),
    invalid=True,
)
def state_of_too_many_layers(layers: Any) -> None:
    """Give a two-layer GRU the state of four layers."""
    layers.GRU(4, 5, 2)(torch.randn(10, 3, 4), torch.randn(4, 3, 5))


@report(
    "pytorch/pytorch#144116",
    "RNN batch_first argument only works on the input not h_0 when if should work on both",
    torch_nn=raises("RuntimeError: Expected hidden size (2, 3, 5), got [3, 2, 5]"),
    scratch_cells=raises("RuntimeError: Expected hidden size (2, 3, 5), got [3, 2, 5]"),
    invalid=True,
)
def batch_first_state(layers: Any) -> None:
    """Give a batch-first RNN an h_0 of shape (batch, layers, hidden)."""
    layers.RNN(4, 5, 2, batch_first=True)(torch.randn(3, 10, 4), torch.randn(3, 2, 5))


EMPTY = raises("RuntimeError: Expected sequence length to be larger than 0 in RNN")


@report(
    "pytorch/pytorch#50192",
    "GRU and LSTM fail for seq_len = 0",
    torch_nn=EMPTY,
    scratch_cells=EMPTY,
    invalid=True,
)
def no_time_steps(layers: Any) -> None:
    """Call a GRU with a sequence of 0 time steps."""
    layers.GRU(5, 6)(torch.zeros(0, 10, 5))


@report("pytorch/pytorch#114617", "RNN argument order")
def nonlinearity_by_position(layers: Any) -> None:
    """Give `nonlinearity` as the fourth positional argument of RNN."""
    layer = layers.RNN(2, 3, 1, "relu", **DOUBLE)
    x = torch.randn(1, 1, 2, **DOUBLE)
    weights = layer.weight_ih_l0, layer.bias_ih_l0 + layer.bias_hh_l0
    close(layer(x)[0], torch.nn.functional.linear(x, *weights).relu())


BIAS = raises("TypeError: bias should be of type bool, got: int")


@report(
    "pytorch/pytorch#136954",
    "Setting a wrong value to `bias` argument of `nn.RNN()` gets an indirect error message",
    torch_nn=BIAS,
    scratch_cells=BIAS,
    invalid=True,
)
def bias_that_is_not_a_bool(layers: Any) -> None:
    """Build an RNN with `bias=10`."""
    layers.RNN(3, 2, bias=10)


INPUT_SIZE = raises("TypeError: input_size should be of type int, got: float")


@report(
    "pytorch/pytorch#136936",
    "`input_size` argument of `nn.RNN()` gets indirect error messages",
    torch_nn=INPUT_SIZE,
    scratch_cells=INPUT_SIZE,
    invalid=True,
)
def input_size_that_is_not_an_int(layers: Any) -> None:
    """Build an RNN with `input_size=3.0`."""
    layers.RNN(input_size=3.0, hidden_size=2)


@report("pytorch/pytorch#5985", "RNN `dropout` arg needs better documentation")
def dropout_of_one_layer(layers: Any) -> None:
    """Build an LSTM with one layer and dropout: a warning states that dropout has no effect."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer = layers.LSTM(3, 4, dropout=0.9)
    assert "adds dropout after all but last recurrent layer" in str(caught[0].message)
    x = torch.randn(5, 2, 3)
    assert torch.equal(layer(x)[0], layer(x)[0]), "dropout has an effect"


OTHER_STATE = raises(
    "RuntimeError: Input and hidden tensors are not at the same device, found input tensor at cpu "
    "and hidden tensor at meta"
)


@report(
    "Lightning-AI/pytorch-lightning#3738",
    "RuntimeError: Input and hidden tensors are not at the same device, found",
    torch_nn=OTHER_STATE,
    scratch_cells=OTHER_STATE,
    invalid=True,
)
def state_on_another_device(layers: Any) -> None:
    """Leave the state on another device than input and weights (here: meta)."""
    state = state_like("LSTM", torch.zeros(1, 2, 4, device="meta"))
    layers.LSTM(3, 4)(torch.randn(5, 2, 3), state)


OTHER_WEIGHTS = raises("RuntimeError: Tensor on device meta is not on the expected device cpu!")


@report(
    "pytorch/pytorch#48511",
    "Ambiguous RuntimeError raised when device of input PackedSequence does not match with "
    "nn.LSTM's device",
    torch_nn=OTHER_WEIGHTS,
    scratch_cells=raises(
        "RuntimeError: Input and parameter tensors are not at the same device, "
        "found input tensor at cpu and parameter tensor at meta"
    ),
    invalid=True,
)
def packed_on_another_device(layers: Any) -> None:
    """Call an LSTM with a packed sequence on another device than the weights (here: meta)."""
    packed = pack_sequence([torch.randn(n, 5) for n in (3, 6, 4, 7)], enforce_sorted=False)
    layers.LSTM(5, 10, 3, device="meta")(packed)


@report("pytorch/pytorch#60585", "Rollup: No-batch-dim support for torch.nn modules")
def unbatched(layers: Any) -> None:
    """Call each layer with one sequence without a batch dimension; `batch_first` is ignored."""
    for kind in KINDS:
        layer = getattr(layers, kind)(3, 4, 2, batch_first=True, bidirectional=True, **DOUBLE)
        x = torch.randn(5, 3, **DOUBLE)
        output, state = layer(x)
        batched, batched_state = layer(x[None])
        close(output, batched[0])
        close(hidden_of(state), hidden_of(batched_state)[:, 0])


@report(
    "pytorch/pytorch#191232",
    "Validate input/hidden dimension consistency in RNN cells",
    torch_nn=raises("RuntimeError: hidden0 has inconsistent hidden_size: got 3, expected 20"),
    scratch_cells=raises("RuntimeError: Expected 2D hidden0 (batch x hidden_size)"),
    invalid=True,
    may_crash=True,
)
def cell_with_batched_state_alone(layers: Any) -> None:
    """Call an LSTMCell with an unbatched input and a state with a batch dimension."""
    layers.LSTMCell(10, 20)(torch.randn(10), (torch.randn(3, 20), torch.randn(3, 20)))


@report(
    "pytorch/pytorch#194064",
    "[NN] Validate hidden state inputs in RNNCell, LSTMCell, and GRUCell to prevent segfault",
    torch_nn=WRONG,
    scratch_cells=raises("RuntimeError: lstm_cell expects two hidden states"),
    invalid=True,
    may_crash=True,
)
def cell_with_one_tensor_as_state(layers: Any) -> None:
    """Call an LSTMCell with a tensor of shape (2, 3, 3) instead of (h, c); torch.nn may crash."""
    layers.LSTMCell(3, 3)(torch.randn(3), torch.zeros(2, 3, 3))


@report(
    "allenai/allennlp#1486",
    "RuntimeError: rnn: hx is not contiguous when using Seq2SeqEncoder",
)
def state_that_is_not_contiguous(layers: Any) -> None:
    """Call each layer with a transposed state, which is not contiguous."""
    for kind in KINDS:
        layer = getattr(layers, kind)(3, 4, 2, **DOUBLE)
        x, h = torch.randn(5, 6, 3, **DOUBLE), torch.randn(6, 2, 4, **DOUBLE).transpose(0, 1)
        close(layer(x, state_like(kind, h))[0], reference(layer)(x, state_like(kind, h))[0])


COMPLEX = raises("ValueError: RNN input dtype (torch.complex64) does not match weight dtype")


@report(
    "pytorch/pytorch#71614",
    "Complex GRU does not work",
    torch_nn=COMPLEX,
    scratch_cells=COMPLEX,
    invalid=True,
)
def complex_input(layers: Any) -> None:
    """Call a float32 GRU with a complex input."""
    layers.GRU(5, 1)(torch.zeros(3, 4, 5, dtype=torch.complex64))
