"""The Triton backend equals torch.nn and the reference loop, which runs where it does not apply.

The kernels run in Triton's interpreter, on the CPU. On a machine with a GPU they are compiled
instead, and ``test_gpu`` runs them.
"""

import dataclasses
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.utils.rnn import pack_padded_sequence

import scratch_cells
from scratch_cells import backends
from scratch_cells.backends import triton_backend
from scratch_cells.backends.triton_backend import OTHER_SHARED_BYTES, TritonRNNTanhKernel
from scratch_cells.cell import Cell, parts
from tests.helpers.backends import (
    CELLS,
    backend_of,
    draw,
    each_unprojected_kind,
    layers_with,
    unroll_with,
)
from tests.helpers.oracles import assert_same, differences, observe
from tests.helpers.strategies import KINDS, Configuration, configurations
from tests.helpers.triton_checks import (
    EPS,
    assert_close,
    copy_of_kernels,
    launches,
    prefix_of,
    values_and_gradients,
)

triton = pytest.importorskip("triton")
kernels = triton_backend._kernels()
if not kernels.INTERPRETED.value:
    pytest.skip("the kernels are compiled here, see test_gpu", allow_module_level=True)
if triton.__version__.startswith("3.6."):  # torch 2.11's
    pytest.skip(
        "Triton 3.6 cannot interpret loops with NumPy 1.25 or later", allow_module_level=True
    )

import triton.language as tl  # noqa: E402  # after the check of the versions

TRITON_LAYERS = layers_with("triton")
tanh = kernels.tanh  # a global, so that a kernel of this file can call it


# --- equal to torch.nn -----------------------------------------------------------------------


def one_layer(configuration: Configuration) -> Configuration:
    """The interpreter is slow, and layers do not depend on the backend."""
    options = configuration.options | {"num_layers": 1, "dropout": 0.0, "proj_size": 0}
    if configuration.kind != "LSTM":
        del options["proj_size"]
    return dataclasses.replace(configuration, options=options)


@given(configurations(dtype=torch.float32, layouts=("batched", "unbatched")))
@settings(max_examples=settings().max_examples // 3)
def test_values_and_gradients_equal_torch_nn(configuration: Configuration) -> None:
    configuration = one_layer(configuration)
    with launches() as names:
        assert_same(
            configuration.build(TRITON_LAYERS),
            configuration.build(nn),
            configuration,
            torch.float32,
        )
    expected = 2 * configuration.directions if configuration.batch else 0
    assert len(names) == expected


@each_unprojected_kind
def test_bfloat16_equals_float32_within_its_rounding(kind: str) -> None:
    """Compared with float32 on the same values, rounded to bfloat16.

    Each step rounds the projected input, the state that is multiplied by W_hh and what is stored,
    each by at most EPS (the interpreter truncates; a GPU rounds, with half the error), and part of
    the error of earlier steps decays. The tolerance is two such errors for the results of the
    forward pass, and four for the gradients, which result from both passes.
    """
    torch.manual_seed(0)
    cell = CELLS[kind](3, 20, dtype=torch.bfloat16)
    reference = CELLS[kind](3, 20)
    reference.load_state_dict(cell.state_dict())
    x, state = draw(cell, 6, 3)
    exact_x, exact_state = draw(reference, 6, 3)
    with torch.no_grad():
        for rounded, leaf in zip((x, *parts(state)), (exact_x, *parts(exact_state)), strict=True):
            leaf.copy_(rounded)
    with launches() as names:
        got = values_and_gradients("triton", cell, x, state)
    assert len(names) == 2
    expected = values_and_gradients("plain", reference, exact_x, exact_state)
    assert {each.dtype for each in got} == {torch.bfloat16}
    returned = 1 + len(parts(state))
    got = [each.float() for each in got]
    assert_close(got[:returned], expected[:returned], 2 * EPS)
    assert_close(got[returned:], expected[returned:], 4 * EPS)


# --- equal to the reference loop -----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
@each_unprojected_kind
def test_values_and_gradients_equal_the_reference_loop(kind: str, reverse: bool) -> None:
    """With two programs for the rows, padded units, and two tiles of units."""
    torch.manual_seed(0)
    cell = CELLS[kind](3, 33)
    x, state = draw(cell, 3, 5)
    expected = values_and_gradients("plain", cell, x, state, reverse)
    with launches() as names:
        got = values_and_gradients("triton", cell, x, state, reverse)
        output, final = unroll_with("triton", cell, x, state, None, reverse)
        first, second = (
            torch.autograd.grad(output.sum(), cell.parameters(), retain_graph=True)
            for _ in range(2)
        )
        with torch.no_grad():
            inference = unroll_with("triton", cell, x, state, None, reverse)
    forward, backward = f"{prefix_of(kind)}_forward", f"{prefix_of(kind)}_backward"
    assert names == [forward, backward, forward, backward, backward, forward]
    assert_close(got, expected)
    assert_close(got[: 1 + len(parts(final))], expected[: 1 + len(parts(final))], 1e-6)
    assert all(map(torch.equal, first, second))  # backward does not change the saved buffers
    assert torch.equal(inference[0], output)
    assert all(map(torch.equal, parts(inference[1]), parts(final)))


@pytest.mark.parametrize(("kind", "size"), [("RNN", 257), ("GRU", 130), ("LSTM", 130)])
def test_the_largest_layers_equal_the_reference_loop(kind: str, size: int) -> None:
    torch.manual_seed(0)
    cell = CELLS[kind](2, size)
    x, state = draw(cell, 2, 2)
    expected = values_and_gradients("plain", cell, x, state)
    with launches() as names:
        got = values_and_gradients("triton", cell, x, state)
    assert len(names) == 2
    assert_close(got, expected)


@each_unprojected_kind
def test_bfloat16_in_tiles_equals_bfloat16_on_chip(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that do not fit on chip are summed in another order."""
    torch.manual_seed(0)
    cell = CELLS[kind](3, 33, dtype=torch.bfloat16)
    x, state = draw(cell, 3, 2)
    on_chip = values_and_gradients("triton", cell, x, state)
    monkeypatch.setattr(triton_backend, "_shared_memory", lambda device: OTHER_SHARED_BYTES)
    with launches() as names:
        in_tiles = values_and_gradients("triton", cell, x, state)
    assert len(names) == 2
    assert_close([each.float() for each in in_tiles], [each.float() for each in on_chip], 2 * EPS)


@pytest.mark.parametrize("loss_of", ["last output", "final state"])
@each_unprojected_kind
def test_frozen_weights_and_unused_results_keep_the_other_gradients(
    kind: str, loss_of: str
) -> None:
    torch.manual_seed(0)
    cell = CELLS[kind](3, 4)
    x, state = draw(cell, 3, 2)
    cell.input_to_hidden.weight.requires_grad_(False)
    leaves = [leaf for leaf in (x, *cell.parameters(), *parts(state)) if leaf.requires_grad]
    seen = []
    for backend in ("triton", "plain"):
        output, final = unroll_with(backend, cell, x, state)
        loss = output[-1].sum() if loss_of == "last output" else parts(final)[-1].sum()
        seen.append(torch.autograd.grad(loss, leaves))
    assert_close(*seen)


@each_unprojected_kind
def test_outputs_changed_in_place_keep_the_gradients(kind: str) -> None:
    cell = CELLS[kind](3, 4)
    x, state = draw(cell, 3, 2)
    (expected,) = torch.autograd.grad(unroll_with("triton", cell, x, state)[0].sum(), x)
    output, final = unroll_with("triton", cell, x, state)
    output += 1
    parts(final)[0].mul_(2)
    torch.testing.assert_close(torch.autograd.grad(output.sum(), x)[0], expected)


@each_unprojected_kind
def test_autocast_equals_a_bfloat16_cell(kind: str) -> None:
    """The gradients of the weights have the dtype of the weights."""
    torch.manual_seed(0)
    cell = CELLS[kind](3, 4)
    x, state = draw(cell, 3, 2)
    narrow = CELLS[kind](3, 4, dtype=torch.bfloat16)
    narrow.load_state_dict(cell.state_dict())
    carried = tuple(part.detach().bfloat16() for part in parts(state))
    hx = carried if len(carried) > 1 else carried[0]
    with launches() as names, torch.autocast("cpu", torch.bfloat16):
        output, _ = unroll_with("triton", cell, x, hx)
    with launches() as backward_names:
        output.sum().backward()
    assert names + backward_names == [f"{prefix_of(kind)}_forward", f"{prefix_of(kind)}_backward"]
    expected, _ = unroll_with("triton", narrow, x.detach().bfloat16(), hx)
    expected.sum().backward()
    assert torch.equal(output, expected)
    for got, weight in zip(cell.parameters(), narrow.parameters(), strict=True):
        assert got.grad.dtype == torch.float32
        assert torch.equal(got.grad, weight.grad.float())


@triton.jit
def apply_tanh(a, y, N: tl.constexpr):  # noqa: N803  # as in kernels of Triton
    at = tl.arange(0, N)
    tl.store(y + at, tanh(tl.load(a + at)))


def test_tanh_is_accurate_to_four_units_in_the_last_place() -> None:
    """Relative to tanh(a), near zero too, where 1 - exp(-2a) would lose all digits."""

    near, far = torch.logspace(-30, 0, 1024), torch.linspace(-20, 20, 1022)
    a = torch.cat([near, far, torch.tensor([float("inf"), float("nan")])])
    y = torch.empty_like(a)
    apply_tanh[(1,)](a, y, N=2048)
    torch.testing.assert_close(
        y.double(),
        a.double().tanh(),
        rtol=4 * torch.finfo(torch.float32).eps,
        atol=0,
        equal_nan=True,
    )


def test_tf32_is_used_where_torch_allows_it() -> None:
    w_hh, b = torch.zeros(20, 20), torch.zeros(20)
    before = torch.backends.cuda.matmul.allow_tf32
    try:
        for allowed, expected in ((False, ("ieee", 4)), (True, ("tf32", 16))):
            torch.backends.cuda.matmul.allow_tf32 = allowed
            options = TritonRNNTanhKernel(w_hh, w_hh, b, b, 1).options()
            assert (options["PRECISION"], options["ROWS"]) == expected
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


# --- where the reference loop runs ---------------------------------------------------------------


def falls_back(cell: Cell, x: Tensor, **given: Any) -> bool:
    """Whether no kernel is launched. Checks the result in both cases."""
    state = cell.zero_state(x[0])
    if "batch_sizes" in given:
        state = cell.zero_state(x[: given["batch_sizes"][0]])
    with launches() as names:
        output, final = unroll_with("triton", cell, x, state, **given)
    expected, expected_final = unroll_with("plain", cell, x, state, **given)
    assert_close([output, *parts(final)], [expected, *parts(expected_final)], 1e-6)
    return not names


@each_unprojected_kind
def test_hooks_force_the_reference_loop(kind: str) -> None:
    x = torch.randn(3, 2, 3)
    assert not falls_back(CELLS[kind](3, 4), x)

    cell = CELLS[kind](3, 4)
    seen = []
    cell.hidden_to_hidden.register_forward_hook(lambda *_: seen.append(1))
    assert falls_back(cell, x)
    assert len(seen) == 6  # three steps in each of the two calls

    cell = CELLS[kind](3, 4)
    nn.utils.parametrizations.weight_norm(cell.hidden_to_hidden)
    assert falls_back(cell, x)


@each_unprojected_kind
def test_unsupported_inputs_run_the_reference_loop(kind: str) -> None:
    cell, x = CELLS[kind](3, 4), torch.randn(3, 2, 3)
    assert not falls_back(cell, x)
    assert falls_back(cell, torch.randn(5, 3), batch_sizes=(3, 1, 1))
    assert falls_back(cell, torch.randn(3, 0, 3))
    for dtype in (torch.float64, torch.float16):
        assert falls_back(CELLS[kind](3, 4, dtype=dtype), x.to(dtype))
    assert falls_back(CELLS[kind](3, 513), x)


@each_unprojected_kind
def test_the_meta_device_runs_the_reference_loop(kind: str) -> None:
    cell, x = CELLS[kind](3, 4, device="meta"), torch.empty(3, 2, 3, device="meta")
    with launches() as names:
        output, _ = unroll_with("triton", cell, x, cell.zero_state(x[0]))
    assert not names
    assert output.shape == (3, 2, 4)


def test_auto_selects_the_kernels_where_they_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def candidates(backend: str, dtype: torch.dtype, size: int, is_cuda: bool) -> tuple[str, ...]:
        operands = [
            SimpleNamespace(dtype=dtype, is_cuda=is_cuda),
            None,
            torch.empty(4 * size, size),
        ]
        return backends._candidates(backend, "lstm", operands)

    monkeypatch.setitem(backends.TRITON_IS_FASTER, ("lstm", torch.float32), 128)
    assert candidates("auto", torch.float32, 128, True) == ("triton", "c", "bptt")
    for other in (
        ("auto", torch.float32, 129, True),
        ("auto", torch.bfloat16, 128, True),
        ("auto", torch.float32, 128, False),
        ("bptt", torch.float32, 128, True),
    ):
        assert candidates(*other) == backends.CANDIDATES[other[0]]


def test_other_cells_run_the_reference_loop() -> None:
    class Changed(scratch_cells.GRUCell):
        def update(self, gates: Any, h: Tensor) -> Tensor:
            return super().update(gates, h) / 2

    x = torch.randn(3, 2, 3)
    assert falls_back(Changed(3, 4), x)
    projected = scratch_cells.LSTM(3, 4, proj_size=2).cells[0]
    assert falls_back(projected, x)


@pytest.mark.parametrize("missing", ["triton", "gpu"])
def test_without_triton_or_a_gpu_the_reference_loop_runs(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing == "triton":
        monkeypatch.setitem(
            sys.modules, "scratch_cells.backends.triton_kernels", None
        )  # import fails
        monkeypatch.setattr(triton_backend, "_kernels", triton_backend._kernels.__wrapped__)
        assert triton_backend._kernels() is None
    else:
        compiled = SimpleNamespace(INTERPRETED=tl.constexpr(False))
        monkeypatch.setattr(triton_backend, "_kernels", lambda: compiled)
    for kind in KINDS:
        layer = getattr(scratch_cells, kind)(3, 4, 2, backend="triton")
        plain = getattr(scratch_cells, kind)(3, 4, 2, backend="plain")
        plain.load_state_dict(layer.state_dict())
        x = torch.randn(3, 2, 3)
        with launches() as names:
            output, _ = layer(x)
        assert not names
        assert backend_of(output) == "plain"
        assert "the Triton backend needs" in layer.backend_for(x).reason
        torch.testing.assert_close(output, plain(x)[0])


@each_unprojected_kind
def test_transforms_and_second_derivatives_equal_the_reference_loop(kind: str) -> None:
    cell = CELLS[kind](3, 4)
    x, state = draw(cell, 3, 2)

    def loss(backend: str, x: Tensor) -> Tensor:
        return unroll_with(backend, cell, x, state)[0].pow(2).sum()

    with launches() as names:
        slope = torch.func.grad(partial(loss, "triton"))(x)
        with forward_ad.dual_level():
            dual = loss("triton", forward_ad.make_dual(x, torch.ones_like(x)))
            tangent = forward_ad.unpack_dual(dual).tangent
    assert not names
    torch.testing.assert_close(tangent, slope.sum())
    seen = []
    for backend in ("triton", "plain"):
        (slope,) = torch.autograd.grad(loss(backend, x), x, create_graph=True)
        seen.append((slope, *torch.autograd.grad(slope.pow(2).sum(), [x, *cell.parameters()][:3])))
    assert_close(*seen)


@pytest.mark.parametrize("kind", KINDS)
def test_compiling_sees_every_step(kind: str) -> None:
    layer = getattr(scratch_cells, kind)(3, 4, backend="triton")
    x = torch.randn(3, 2, 3)
    with launches() as names:
        output, _ = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
    assert not names
    torch.testing.assert_close(output, layer(x)[0])


def test_packed_sequences_equal_torch_nn() -> None:
    ours, theirs = scratch_cells.GRU(3, 4, backend="triton"), nn.GRU(3, 4)
    ours.load_state_dict(theirs.state_dict())
    packed = pack_padded_sequence(torch.randn(4, 3, 3), torch.tensor([4, 2, 1]))
    torch.testing.assert_close(ours(packed)[0].data, theirs(packed)[0].data)


# --- planted bugs ----------------------------------------

BUGS = {
    # name: (kind, correct code, code with the bug)
    "gates i and f exchanged": (
        "LSTM",
        "w_i = load_matrix(w_hh, True",
        "w_i = load_matrix(w_hh + H * H, True",
    ),
    "dc without the forget gate": ("LSTM", "        dc = f * dc\n", ""),
    "dc of the last step only": ("LSTM", "dc += o * (1", "dc = o * (1"),
    "tanh(c) of the previous step": ("LSTM", "tanh_c = tanh(f * c + i * g)", "tanh_c = tanh(c)"),
    "h instead of c": (
        "LSTM",
        "tl.store(at(c_all, after if SAVE else 0, first, B, H) + offsets, c",
        "tl.store(at(c_all, after if SAVE else 0, first, B, H) + offsets, h",
    ),
    "a gate not saved": ("LSTM", "            tl.store(x + 3 * H, o, mask)\n", ""),
    "b_hn not multiplied by r": ("GRU", "m = b_n + product", "m = product"),
    "dh without the direct contribution": ("GRU", "dh = z * dh", "dh = 0 * dh"),
    "dn instead of dm": ("GRU", "dm = dn * r", "dm = dn"),
    "W instead of its transpose": (
        "RNN",
        "(h, h_before + row * H, w, row_mask, True",
        "(h, h_before + row * H, w, row_mask, False",
    ),
    "derivative of tanh without the square": (
        "RNN",
        "da = tl.where(h > 0, dh, 0.0) if RELU else (1 - h * h)",
        "da = (1 - h)",
    ),
    "output gradient missing": (
        "RNN",
        "dh += load(at(d_outputs, t, first, B, H) + offsets, mask)\n        da",
        "dh += 0\n        da",
    ),
    "forward pass in one direction only": (
        "RNN",
        "h_before = at(h_all, t + REVERSE, ",
        "h_before = at(h_all, t, ",
    ),
    "backward pass in one direction only": (
        "RNN",
        "        t = position(step, T, not REVERSE)\n        h = ",
        "        t = position(step, T, True)\n        h = ",
    ),
}


@pytest.mark.parametrize("name", [None, *BUGS])
def test_planted_bugs_are_caught(
    name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the comparison of the property test, which the correct kernels pass."""
    kinds = KINDS
    if name is not None:
        kind, right, wrong = BUGS[name]
        module, kinds = copy_of_kernels(tmp_path, right, wrong), (kind,)
        monkeypatch.setattr(triton_backend, "_kernels", lambda: module)
    for kind in kinds:
        options = {"input_size": 2, "hidden_size": 5, "bidirectional": True}
        configuration = Configuration(kind, options, time=3, batch=3, dtype=torch.float32)
        layers = configuration.build(TRITON_LAYERS), configuration.build(nn)
        seen = (observe(layer, configuration) for layer in layers)
        assert bool(differences(*seen, torch.float32)) == (name is not None)
