"""``reset`` and ``checkpoint_every``: the results of separate calls, and of one call."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_sequence

import scratch_cells
from scratch_cells.recurrent_stack import RecurrentStack

BACKENDS = ("plain", "auto")
each_kind = pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])


def build(kind: str, dtype: torch.dtype = torch.float64, **options: Any) -> RecurrentStack:
    torch.manual_seed(0)
    layer: RecurrentStack = getattr(scratch_cells, kind)(3, 4, **options, dtype=dtype)
    return layer


def parts(state: Any) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def whole(state: list[Tensor]) -> Any:
    return state[0] if len(state) == 1 else tuple(state)


def one_by_one(layer: RecurrentStack, x: Tensor, state: Any, reset: Tensor) -> tuple[Tensor, Any]:
    """The oracle, for one layer: a separate call of the layer for every part of every sequence."""
    columns, finals = [], []
    for b in range(x.size(1)):
        starts = [t for t in range(len(x)) if t == 0 or reset[t, b]]
        pieces, ends = [], [*starts[1:], len(x)]
        first_state, last_state = None, None
        for first, end in zip(starts, ends, strict=True):
            hx = [torch.zeros_like(part[:, b : b + 1]) for part in parts(state)]
            for i, part in enumerate(parts(state)):
                if first == 0 and not reset[0, b]:
                    hx[i][0] = part[0, b : b + 1]
                if layer.bidirectional and end == len(x):
                    hx[i][1] = part[1, b : b + 1]
            output, final = layer(x[first:end, b : b + 1], whole(hx))
            pieces.append(output)
            first_state = parts(final) if first_state is None else first_state
            last_state = parts(final)
        columns.append(torch.cat(pieces))
        assert first_state is not None
        assert last_state is not None
        # forward: the state after the last part; reverse: after the first part
        finals.append(
            [
                torch.stack([last[0], *([early[1]] if layer.bidirectional else [])])
                for early, last in zip(first_state, last_state, strict=True)
            ]
        )
    final = [torch.cat(each, dim=1) for each in zip(*finals, strict=True)]
    return torch.cat(columns, dim=1), whole(final)


@each_kind
@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=25, deadline=None)
@given(
    time=st.integers(1, 7),
    batch=st.integers(1, 3),
    bidirectional=st.booleans(),
    seed=st.integers(0, 9999),
)
def test_reset_gives_the_results_of_separate_sequences(
    kind: str, backend: str, time: int, batch: int, bidirectional: bool, seed: int
) -> None:
    layer = build(kind, bidirectional=bidirectional, backend=backend)
    generator = torch.Generator().manual_seed(seed)
    reset = torch.rand(time, batch, generator=generator) < 0.4
    data = torch.randn(time, batch, 3, generator=generator, dtype=torch.float64)
    directions = 1 + bidirectional
    given_state = [
        torch.randn(directions, batch, 4, generator=generator, dtype=torch.float64)
        for _ in range(2 if kind == "LSTM" else 1)
    ]
    results = []
    for run in (
        lambda x, hx: layer(x, hx, reset=reset),
        lambda x, hx: one_by_one(layer, x, hx, reset),
    ):
        x = data.clone().requires_grad_()
        state = [part.clone().requires_grad_() for part in given_state]
        output, final = run(x, whole(state))
        loss = output.sin().sum() + sum((part * part).sum() for part in parts(final))
        leaves = [x, *state, *layer.parameters()]
        grads = torch.autograd.grad(loss, leaves, allow_unused=True)
        grads = [
            torch.zeros_like(leaf) if g is None else g
            for g, leaf in zip(grads, leaves, strict=True)
        ]
        results.append([output, *parts(final), *grads])
    for ours, right in zip(*results, strict=True):
        torch.testing.assert_close(ours, right, rtol=1e-12, atol=1e-12)


@each_kind
def test_reset_reaches_every_layer_and_takes_the_layout_of_the_input(kind: str) -> None:
    layer = build(kind, num_layers=3, batch_first=True)
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    reset = torch.zeros(2, 6, dtype=torch.bool)
    reset[:, 4] = True
    output, final = layer(x, reset=reset)
    first, _ = layer(x[:, :4])
    second, right = layer(x[:, 4:])
    torch.testing.assert_close(output, torch.cat([first, second], dim=1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(final, right, rtol=1e-12, atol=1e-12)
    unbatched, _ = layer(x[0], reset=reset[0])
    torch.testing.assert_close(unbatched, output[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("reset", "error", "words"),
    [
        (torch.zeros(5, 2), TypeError, "reset should be a tensor of dtype torch.bool"),
        ([[True] * 2] * 5, TypeError, "got: list"),
        (torch.zeros(2, 5, dtype=torch.bool), ValueError, r"expected shape \(5, 2\)"),
    ],
)
def test_a_wrong_reset_raises(reset: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        build("GRU")(torch.zeros(5, 2, 3, dtype=torch.float64), reset=reset)


def test_reset_raises_for_packed_sequences() -> None:
    packed = pack_sequence([torch.zeros(4, 3, dtype=torch.float64)])
    with pytest.raises(ValueError, match="the input is packed"):
        build("GRU")(packed, reset=torch.zeros(4, 1, dtype=torch.bool))


# checkpoint_every


def values_and_gradients(
    layer: nn.Module, x: Tensor, call: Callable[..., Any] | None = None
) -> list[Tensor]:
    x = x.clone().requires_grad_()
    output, final = (call or layer)(x)
    loss = output.sin().sum() + sum((part * part).sum() for part in parts(final))
    return [output, *parts(final), *torch.autograd.grad(loss, [x, *layer.parameters()])]


@each_kind
@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=15, deadline=None)
@given(
    every=st.integers(1, 9),
    time=st.integers(1, 8),
    layers=st.integers(1, 2),
    bidirectional=st.booleans(),
)
def test_recomputation_changes_no_value_and_no_gradient(
    kind: str, backend: str, every: int, time: int, layers: int, bidirectional: bool
) -> None:
    options = {"num_layers": layers, "bidirectional": bidirectional, "backend": backend}
    layer = build(kind, **options, checkpoint_every=every)
    x = torch.randn(time, 2, 3, dtype=torch.float64)
    ours = values_and_gradients(layer, x)
    for got, right in zip(ours, values_and_gradients(build(kind, **options), x), strict=True):
        torch.testing.assert_close(got, right, rtol=1e-12, atol=1e-12)


def saved_bytes(layer: nn.Module, x: Tensor) -> int:
    """Bytes of distinct memory that the graph of a forward pass keeps for the backward pass."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(x)
    return sum(kept.values())


@each_kind
def test_recomputation_keeps_less_memory(kind: str) -> None:
    x = torch.randn(400, 8, 3, dtype=torch.float64, requires_grad=True)
    without = saved_bytes(build(kind, backend="plain"), x)
    weights = sum(weight.nbytes for weight in build(kind).parameters())
    with_it = saved_bytes(build(kind, backend="plain", checkpoint_every=20), x)
    assert with_it - x.nbytes - weights < 0.25 * (without - x.nbytes - weights)


def test_recomputation_repeats_the_random_values_of_a_cell() -> None:
    class NoisyCell(scratch_cells.GRUCell):
        def update(self, gates: Any, h: Tensor) -> Tensor:
            return torch.nn.functional.dropout(super().update(gates, h), 0.5, True)

    x = torch.randn(6, 2, 3, dtype=torch.float64)
    results = []
    for every in (None, 2):
        torch.manual_seed(0)
        layer = scratch_cells.layer_of(NoisyCell)(3, 4, dtype=torch.float64, checkpoint_every=every)
        torch.manual_seed(1)
        results.append(values_and_gradients(layer, x))
    for ours, right in zip(*results, strict=True):
        torch.testing.assert_close(ours, right, rtol=1e-12, atol=1e-12)


def test_recomputation_uses_the_weights_that_a_parametrization_gave() -> None:
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    results = []
    for every in (None, 2):
        layer = build("LSTM", checkpoint_every=every)
        parametrizations.weight_norm(layer, "weight_hh_l0")
        results.append(values_and_gradients(layer, x))
    for ours, right in zip(*results, strict=True):
        torch.testing.assert_close(ours, right, rtol=1e-12, atol=1e-12)


def test_recomputation_and_reset_work_together() -> None:
    x = torch.randn(9, 2, 3, dtype=torch.float64)
    reset = torch.rand(9, 2, generator=torch.Generator().manual_seed(0)) < 0.3
    results = []
    for every in (None, 2):
        layer = build("LSTM", num_layers=2, bidirectional=True, checkpoint_every=every)
        results.append(values_and_gradients(layer, x, lambda x, layer=layer: layer(x, reset=reset)))
    for ours, right in zip(*results, strict=True):
        torch.testing.assert_close(ours, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("every", "error"), [(0, ValueError), (-3, ValueError), (2.0, TypeError), (True, TypeError)]
)
def test_a_wrong_checkpoint_every_raises(every: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="checkpoint_every"):
        build("LSTM", checkpoint_every=every)


def test_a_layer_with_checkpoints_can_be_transformed() -> None:
    layer = scratch_cells.GRU(3, 4, dtype=torch.float64, checkpoint_every=2)
    other = scratch_cells.GRU(3, 4, dtype=torch.float64)
    other.load_state_dict(layer.state_dict())
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    ours, right = (torch.func.grad(lambda x, m=m: m(x)[0].sin().sum())(x) for m in (layer, other))
    torch.testing.assert_close(ours, right, rtol=1e-12, atol=1e-12)


def test_restarts_whose_values_are_not_known() -> None:
    layer = scratch_cells.LSTM(3, 4, dtype=torch.float64, bidirectional=True)
    x, reset = torch.randn(3, 5, 2, 3, dtype=torch.float64), torch.rand(3, 5, 2) < 0.3
    batched = torch.func.vmap(lambda x, reset: layer(x, reset=reset)[0])(x, reset)
    right = [layer(each, reset=mask)[0] for each, mask in zip(x, reset, strict=True)]
    torch.testing.assert_close(batched, torch.stack(right), rtol=1e-12, atol=1e-12)
    on_meta = layer.to("meta")(x[0].to("meta"), reset=reset[0].to("meta"))[0]
    assert on_meta.shape == right[0].shape
