"""Sequences of different lengths, directions and layouts."""

from typing import Any

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

from tests.public_reports.helpers import DOUBLE, KINDS, close, hidden_of
from tests.public_reports.report import raises, report

LENGTHS = torch.tensor([3, 6, 1, 4])


@report("pytorch/pytorch#4927", "[Feature Request]would PackedSequence support unsorted sequences?")
def unsorted_lengths(layers: Any) -> None:
    """Pack sequences in any order of lengths; the states come back in the order of the input."""
    for kind in KINDS:
        layer = getattr(layers, kind)(3, 5, 2, bidirectional=True, **DOUBLE)
        x = torch.randn(6, 4, 3, **DOUBLE)
        output, state = layer(pack_padded_sequence(x, LENGTHS, enforce_sorted=False))
        padded, _ = pad_packed_sequence(output)
        for index, length in enumerate(LENGTHS):
            expected, final = layer(x[:length, index])
            close(padded[:length, index], expected)
            close(hidden_of(state)[:, index], hidden_of(final))


NO_STEPS = raises("RuntimeError: Length of all samples has to be greater than 0")


@report(
    "pytorch/pytorch#4582",
    "[Feature request] PackedSequence with length = 0",
    torch_nn=NO_STEPS,
    scratch_cells=NO_STEPS,
    invalid=True,
)
def packed_length_of_zero(layers: Any) -> None:
    """Pack a batch in which one sequence has the length 0; `pack_padded_sequence` raises."""
    layers.GRU(3, 4)(pack_padded_sequence(torch.randn(5, 2, 3), torch.tensor([5, 0])))


@report("pytorch/pytorch#6299", "[feature request] make pad_packed_sequence work in DataParallel")
def total_length(layers: Any) -> None:
    """Pad a packed output to a given length, longer than its longest sequence."""
    layer = layers.LSTM(3, 4, **DOUBLE)
    packed = pack_padded_sequence(torch.randn(8, 2, 3, **DOUBLE), torch.tensor([5, 2]))
    padded, lengths = pad_packed_sequence(layer(packed)[0], total_length=8)
    assert padded.shape == (8, 2, 4)
    assert lengths.tolist() == [5, 2]
    assert padded[5:].count_nonzero() == 0


@report("pytorch/pytorch#3587", "Documentation: Indexing output from bidirectional RNN (GRU,LSTM)")
def final_states_in_the_output(layers: Any) -> None:
    """Find h_n in the output: forward at the last time step, reverse at the first."""
    for kind in KINDS:
        layer = getattr(layers, kind)(3, 4, bidirectional=True, **DOUBLE)
        output, state = layer(torch.randn(5, 2, 3, **DOUBLE))
        close(hidden_of(state)[0], output[-1, :, :4])
        close(hidden_of(state)[1], output[0, :, 4:])


@report("OpenNMT/OpenNMT-py#61", "About the _fix_enc_hidden() function")
def order_of_states(layers: Any) -> None:
    """View h_n as (layers, directions, batch, hidden): the last two are in the output."""
    layer = layers.GRU(3, 4, 3, bidirectional=True, **DOUBLE)
    output, h = layer(torch.randn(5, 2, 3, **DOUBLE))
    by_layer = h.view(3, 2, 2, 4)
    close(by_layer[2, 0], output[-1, :, :4])
    close(by_layer[2, 1], output[0, :, 4:])


@report(
    "https://discuss.pytorch.org/t/the-hidden-states-of-two-reverse-sequence-on-bilstm-mismatch/119521",
    "The hidden states of two reverse sequence on BiLSTM mismatch",
)
def reversed_sequence(layers: Any) -> None:
    """Read a sequence in reverse; with the same weights in both directions the states swap."""
    layer = layers.LSTM(5, 3, bidirectional=True, **DOUBLE)
    with torch.no_grad():
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            getattr(layer, f"{name}_reverse").copy_(getattr(layer, name))
    x = torch.randn(5, 1, 5, **DOUBLE)
    close(layer(x)[1][0], layer(x.flip(0))[1][0].flip(0))


@report(
    "pytorch/pytorch#19675",
    "LSTM batch_first flag does not produce ouputs with the batch as the first dimension.",
)
def shape_of_batch_first_states(layers: Any) -> None:
    """Read the shapes of a batch-first LSTM's results: h_n has the batch second."""
    output, (h, c) = layers.LSTM(6, 5, batch_first=True)(torch.rand(60, 8, 6))
    assert output.shape == (60, 8, 5)
    assert h.shape == c.shape == (1, 60, 5)


@report("pytorch/pytorch#1538", "different result on LSTM whether using batch_first")
def batch_first_gives_the_same_values(layers: Any) -> None:
    """Compare the values and gradients of a batch-first layer with those of another layout."""
    for kind in KINDS:
        one = getattr(layers, kind)(3, 4, 2, **DOUBLE)
        other = getattr(layers, kind)(3, 4, 2, batch_first=True, **DOUBLE)
        other.load_state_dict(one.state_dict())
        x = torch.randn(5, 2, 3, **DOUBLE)
        close(other(x.transpose(0, 1))[0].transpose(0, 1), one(x)[0])
        one(x)[0].pow(2).sum().backward()
        other(x.transpose(0, 1))[0].pow(2).sum().backward()
        close(other.weight_hh_l1.grad, one.weight_hh_l1.grad)


@report(
    "pytorch/pytorch#47439",
    "how to use torch.utils.checkpoint + gru with variable length sequence?",
)
def checkpoint_of_packed_sequences(layers: Any) -> None:
    """Compute a GRU on packed sequences under `torch.utils.checkpoint`."""
    layer = layers.GRU(3, 4, batch_first=True, **DOUBLE)
    x = torch.randn(4, 6, 3, requires_grad=True, **DOUBLE)

    def read(x: torch.Tensor) -> Any:
        packed = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(layer(packed)[0], batch_first=True)[0].pow(2).sum()

    inputs = (x, *layer.parameters())
    expected = torch.autograd.grad(read(x), inputs)
    close(torch.autograd.grad(checkpoint(read, x, use_reentrant=False), inputs), expected)
