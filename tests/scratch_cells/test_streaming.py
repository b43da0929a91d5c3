"""``stream``: chunk by chunk equals the whole."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

import builtin_models
import scratch_cells
from scratch_cells import LayerStack, LearnedInitialState, stream


@pytest.mark.parametrize("package", [scratch_cells, builtin_models])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    layers=st.integers(1, 2),
    batch_first=st.booleans(),
    unbatched=st.booleans(),
)
def test_the_chunks_equal_the_whole(
    package: Any, kind: str, lengths: list[int], layers: int, batch_first: bool, unbatched: bool
) -> None:
    layer = getattr(package, kind)(
        3, 4, num_layers=layers, batch_first=batch_first, dtype=torch.float64
    )
    time = 0 if unbatched else int(batch_first)
    shape = [2, 2, 3]
    shape[time] = sum(lengths)
    x = torch.randn(shape[:1] + shape[2:] if unbatched else shape, dtype=torch.float64)
    right, final = layer(x)
    reader = stream(layer)
    outputs = torch.cat([reader(chunk) for chunk in x.split(lengths, dim=time)], dim=time)
    torch.testing.assert_close(outputs, right, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(reader.state, final, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("detach", [True, False])
def test_gradients_reach_back_unless_the_state_is_detached(kind: str, detach: bool) -> None:
    layer = getattr(scratch_cells, kind)(3, 4, dtype=torch.float64)
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    first, second = (chunk.clone().requires_grad_() for chunk in x.split(3))
    reader = stream(layer, detach=detach)
    reader(first)
    reader(second).sum().backward()
    assert second.grad is not None
    assert (first.grad is None) == detach
    if not detach:
        whole = x.clone().requires_grad_()
        layer(whole)[0][3:].sum().backward()
        assert whole.grad is not None
        torch.testing.assert_close(first.grad, whole.grad[:3], rtol=1e-12, atol=1e-12)


def test_a_stream_restarts_all_sequences_or_some() -> None:
    layer = scratch_cells.LSTM(3, 4, num_layers=2)
    x = torch.randn(5, 2, 3)
    reader = stream(layer)
    before = reader(x)
    reader.reset()
    torch.testing.assert_close(reader(x), before)
    _, state = layer(x)
    reader.reset(torch.tensor([True, False]))
    output = reader(x)
    torch.testing.assert_close(output[:, 0], before[:, 0])
    torch.testing.assert_close(output[:, 1], layer(x, state)[0][:, 1])


def test_a_stream_starts_from_a_given_state() -> None:
    layer = scratch_cells.GRU(3, 4)
    x, h = torch.randn(5, 2, 3), torch.randn(1, 2, 4)
    torch.testing.assert_close(stream(layer, state=h)(x), layer(x, h)[0])


def test_a_bidirectional_layer_and_a_packed_chunk_raise() -> None:
    with pytest.raises(ValueError, match="layer is bidirectional"):
        stream(scratch_cells.GRU(3, 4, bidirectional=True))
    with pytest.raises(TypeError, match="PackedSequence"):
        stream(scratch_cells.GRU(3, 4))(pack_sequence([torch.zeros(2, 3)]))  # type: ignore[arg-type]


def test_the_graph_of_a_detached_stream_ends_at_the_chunk() -> None:
    reader = stream(scratch_cells.LSTM(3, 4, backend="plain"))
    sizes = []
    for _ in range(3):
        output = reader(torch.randn(2, 1, 3))
        nodes, found = [output.grad_fn], set()
        while nodes:
            node = nodes.pop()
            if node is not None and node not in found:
                found.add(node)
                nodes.extend(following for following, _ in node.next_functions)
        sizes.append(len(found))
    assert sizes[2] == sizes[1]


@pytest.mark.parametrize("unbatched", [False, True])
@pytest.mark.parametrize(
    ("sequences", "words"),
    [
        (torch.tensor([1, 0]), "got: torch.int64"),
        ([True, False], "got: list"),
        (torch.tensor([True]), "sequences: "),
        (torch.tensor([True, False, True]), "sequences: "),
        (torch.tensor(True), "sequences: "),
    ],
)
def test_a_wrong_choice_of_sequences_raises(sequences: Any, words: str, unbatched: bool) -> None:
    reader = stream(scratch_cells.LSTM(3, 4, num_layers=2))
    reader(torch.randn(5, 3) if unbatched else torch.randn(5, 2, 3))
    with pytest.raises((TypeError, ValueError), match=words):
        reader.reset(sequences)


def learned(*args: Any, **options: Any) -> LearnedInitialState:
    layer = LearnedInitialState(scratch_cells.LSTM(*args, **options))
    for part in layer.initial_state:
        torch.nn.init.normal_(part)
    return layer


@pytest.mark.parametrize(
    "layer",
    [
        learned(3, 4, num_layers=2, dtype=torch.float64),
        LayerStack(scratch_cells.GRU, 3, [5, 4], dtype=torch.float64),
        LayerStack(scratch_cells.LSTM, 3, [5, 4], dtype=torch.float64),
        LayerStack(learned, 3, [5, 4], dtype=torch.float64),
    ],
)
@pytest.mark.parametrize("detach", [True, False])
def test_layers_made_of_layers_are_streamed(layer: Any, detach: bool) -> None:
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    reader = stream(layer, detach=detach)
    outputs = torch.cat([reader(chunk) for chunk in x.split(4)])
    torch.testing.assert_close(outputs, layer(x)[0], rtol=1e-12, atol=1e-12)
    reader.reset(torch.tensor([False, True]))
    both = reader(x)
    torch.testing.assert_close(both[:, 1], layer(x)[0][:, 1], rtol=1e-12, atol=1e-12)
    continued = layer(torch.cat([x, x]))[0][6:, 0]
    torch.testing.assert_close(both[:, 0], continued, rtol=1e-12, atol=1e-12)
