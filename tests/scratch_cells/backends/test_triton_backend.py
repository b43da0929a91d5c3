"""One kernel for all steps equals torch.nn and the plain loop; what it cannot do, others do.

The kernels run in Triton's interpreter, on the CPU. Where there is a GPU they are compiled
instead, and ``test_gpu`` runs them.
"""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.utils.rnn import pack_padded_sequence

import scratch_cells
from scratch_cells.backends import bptt
from scratch_cells.backends import triton_backend as fused
from scratch_cells.backends.triton_backend import unroll_fused
from scratch_cells.cell import Cell, parts
from scratch_cells.unroll import unroll
from tests.helpers.oracles import assert_same, differences, observe
from tests.helpers.strategies import KINDS, Configuration, configurations
from tests.helpers.triton_checks import (
    CELLS,
    EPS,
    FUSED,
    assert_close,
    draw,
    launches,
    name_of,
    run,
)

triton = pytest.importorskip("triton")
kernels = fused._kernels()
if not kernels.INTERPRETED.value:
    pytest.skip("the kernels are compiled here, see test_gpu", allow_module_level=True)
if triton.__version__.startswith("3.6."):  # torch 2.11's
    pytest.skip("Triton 3.6 interprets no loop beside NumPy 1.25 or later", allow_module_level=True)

import triton.language as tl  # noqa: E402

EACH = pytest.mark.parametrize("kind", CELLS)
tanh = kernels.tanh  # for a kernel of this file


# --- the same as torch.nn -----------------------------------------------------------------------


def one_layer(configuration: Configuration) -> Configuration:
    """The interpreter is slow, and layers upon layers are the stack's business."""
    options = configuration.options | {"num_layers": 1, "dropout": 0.0, "proj_size": 0}
    if configuration.kind != "LSTM":
        del options["proj_size"]
    return dataclasses.replace(configuration, options=options)


@given(configurations(dtype=torch.float32, layouts=("batched", "unbatched")))
@settings(max_examples=settings().max_examples // 3)
def test_same_as_torch_nn(configuration: Configuration) -> None:
    configuration = one_layer(configuration)
    with launches() as names:
        assert_same(
            configuration.build(FUSED), configuration.build(nn), configuration, torch.float32
        )
    expected = 2 * configuration.directions if configuration.batch else 0
    assert len(names) == expected


@EACH
def test_bfloat16(kind: str) -> None:
    """Against float32 on the same, rounded, numbers.

    Each step rounds the projection, the state that meets W_hh and what is written down, by EPS
    of each at most (the interpreter cuts off; a GPU rounds, which is half as much), and forgets
    some of the step before. The bounds are two such roundings for what the forward walk returns,
    and four for the gradients, which have been through both walks.
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
        got = run(unroll_fused, cell, x, state)
    assert len(names) == 2
    expected = run(unroll, reference, exact_x, exact_state)
    assert {each.dtype for each in got} == {torch.bfloat16}
    returned = 1 + len(parts(state))
    got = [each.float() for each in got]
    assert_close(got[:returned], expected[:returned], 2 * EPS)
    assert_close(got[returned:], expected[returned:], 4 * EPS)


# --- the same as the plain loop -----------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
@EACH
def test_equals_the_plain_loop(kind: str, reverse: bool) -> None:
    """Two programs of rows, units that do not fill their block, and two tiles of them."""
    torch.manual_seed(0)
    cell = CELLS[kind](3, 33)
    x, state = draw(cell, 3, 5)
    expected = run(unroll, cell, x, state, reverse)
    with launches() as names:
        got = run(unroll_fused, cell, x, state, reverse)
        output, final = unroll_fused(cell, x, state, None, reverse)
        once, again = (
            torch.autograd.grad(output.sum(), cell.parameters(), retain_graph=True)
            for _ in range(2)
        )
        with torch.no_grad():
            inference = unroll_fused(cell, x, state, None, reverse)
    forward, backward = f"{name_of(kind)}_forward", f"{name_of(kind)}_backward"
    assert names == [forward, backward, forward, backward, backward, forward]
    assert_close(got, expected)
    assert_close(got[: 1 + len(parts(final))], expected[: 1 + len(parts(final))], 1e-6)
    assert all(map(torch.equal, once, again))  # the buffers are still as they were
    assert torch.equal(inference[0], output)
    assert all(map(torch.equal, parts(inference[1]), parts(final)))


@EACH
def test_bfloat16_in_tiles(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the weights do not fit the chip, the same sums in another order."""
    torch.manual_seed(0)
    cell = CELLS[kind](3, 33, dtype=torch.bfloat16)
    x, state = draw(cell, 3, 2)
    on_chip = run(unroll_fused, cell, x, state)
    monkeypatch.setattr(fused, "_shared_memory", lambda device: fused.SPARE)
    with launches() as names:
        in_tiles = run(unroll_fused, cell, x, state)
    assert len(names) == 2
    assert_close([each.float() for each in in_tiles], [each.float() for each in on_chip], 2 * EPS)


@pytest.mark.parametrize("loss_of", ["last output", "final state"])
@EACH
def test_only_what_is_asked_for(kind: str, loss_of: str) -> None:
    """A frozen weight, an unused result, a gradient that is one number seen many times."""
    torch.manual_seed(0)
    cell = CELLS[kind](3, 4)
    x, state = draw(cell, 3, 2)
    cell.input_to_hidden.weight.requires_grad_(False)
    leaves = [leaf for leaf in (x, *cell.parameters(), *parts(state)) if leaf.requires_grad]
    seen = []
    for way in (unroll_fused, unroll):
        output, final = way(cell, x, state)
        loss = output[-1].sum() if loss_of == "last output" else parts(final)[-1].sum()
        seen.append(torch.autograd.grad(loss, leaves))
    assert_close(*seen)


@EACH
def test_outputs_may_be_changed_in_place(kind: str) -> None:
    cell = CELLS[kind](3, 4)
    x, state = draw(cell, 3, 2)
    (expected,) = torch.autograd.grad(unroll_fused(cell, x, state)[0].sum(), x)
    output, final = unroll_fused(cell, x, state)
    output += 1
    parts(final)[0].mul_(2)
    torch.testing.assert_close(torch.autograd.grad(output.sum(), x)[0], expected)


@EACH
def test_autocast(kind: str) -> None:
    """The numbers of a bfloat16 cell; the weights' gradients in their own dtype."""
    torch.manual_seed(0)
    cell = CELLS[kind](3, 4)
    x, state = draw(cell, 3, 2)
    narrow = CELLS[kind](3, 4, dtype=torch.bfloat16)
    narrow.load_state_dict(cell.state_dict())
    carried = tuple(part.detach().bfloat16() for part in parts(state))
    hx = carried if len(carried) > 1 else carried[0]
    with launches() as names, torch.autocast("cpu", torch.bfloat16):
        output, _ = unroll_fused(cell, x, hx)
    with launches() as backward_names:
        output.sum().backward()
    assert names + backward_names == [f"{name_of(kind)}_forward", f"{name_of(kind)}_backward"]
    expected, _ = unroll_fused(narrow, x.detach().bfloat16(), hx)
    expected.sum().backward()
    assert torch.equal(output, expected)
    for got, weight in zip(cell.parameters(), narrow.parameters(), strict=True):
        assert got.grad.dtype == torch.float32
        assert torch.equal(got.grad, weight.grad.float())


@triton.jit
def apply_tanh(a, y, N: tl.constexpr):  # noqa: N803
    at = tl.arange(0, N)
    tl.store(y + at, tanh(tl.load(a + at)))


def test_tanh_to_its_last_digits() -> None:
    """In proportion, near zero too, where 1 - exp(-2a) alone has no digits left."""

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


def test_tf32_where_torch_allows_it() -> None:
    w_hh, b = torch.zeros(20, 20), torch.zeros(20)
    before = torch.backends.cuda.matmul.allow_tf32
    try:
        for allowed, expected in ((False, ("ieee", 4)), (True, ("tf32", 16))):
            torch.backends.cuda.matmul.allow_tf32 = allowed
            options = fused.TanhInOneLaunch(w_hh, w_hh, b, b, 1).options()
            assert (options["PRECISION"], options["ROWS"]) == expected
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


# --- what it leaves to the others ---------------------------------------------------------------


def falls_back(cell: Cell, x: Tensor, **given: Any) -> bool:
    """Whether nothing is launched; what comes out must be right in any case."""
    state = cell.zero_state(x[0])
    if "batch_sizes" in given:
        state = cell.zero_state(x[: given["batch_sizes"][0]])
    with launches() as names:
        output, final = unroll_fused(cell, x, state, **given)
    expected, expected_final = unroll(cell, x, state, **given)
    assert_close([output, *parts(final)], [expected, *parts(expected_final)], 1e-6)
    return not names


@EACH
def test_what_hangs_on_a_cell_is_run(kind: str) -> None:
    x = torch.randn(3, 2, 3)
    assert not falls_back(CELLS[kind](3, 4), x)

    cell = CELLS[kind](3, 4)
    seen = []
    cell.hidden_to_hidden.register_forward_hook(lambda *_: seen.append(1))
    assert falls_back(cell, x)
    assert len(seen) == 6  # three steps here and three in the loop beside it

    cell = CELLS[kind](3, 4)
    nn.utils.parametrizations.weight_norm(cell.hidden_to_hidden)
    assert falls_back(cell, x)


@EACH
def test_other_inputs_fall_back(kind: str) -> None:
    cell, x = CELLS[kind](3, 4), torch.randn(3, 2, 3)
    assert not falls_back(cell, x)
    assert falls_back(cell, torch.randn(5, 3), batch_sizes=(3, 1, 1))
    assert falls_back(cell, torch.randn(3, 0, 3))
    for dtype in (torch.float64, torch.float16):
        assert falls_back(CELLS[kind](3, 4, dtype=dtype), x.to(dtype))
    assert falls_back(CELLS[kind](3, 257), x)


@EACH
def test_the_meta_device(kind: str) -> None:
    cell, x = CELLS[kind](3, 4, device="meta"), torch.empty(3, 2, 3, device="meta")
    with launches() as names:
        output, _ = unroll_fused(cell, x, cell.zero_state(x[0]))
    assert not names
    assert output.shape == (3, 2, 4)


def test_other_cells_fall_back() -> None:
    class Changed(scratch_cells.GRUCell):
        def update(self, gates: Any, h: Tensor) -> Tensor:
            return super().update(gates, h) / 2

    x = torch.randn(3, 2, 3)
    assert falls_back(Changed(3, 4), x)
    projected = scratch_cells.LSTM(3, 4, proj_size=2).cells[0]
    assert falls_back(projected, x)


@pytest.mark.parametrize("missing", ["triton", "gpu"])
def test_without_triton_or_a_gpu(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing == "triton":
        monkeypatch.setitem(
            sys.modules, "scratch_cells.backends.triton_kernels", None
        )  # import fails
        monkeypatch.setattr(fused, "_kernels", fused._kernels.__wrapped__)
        assert fused._kernels() is None
    else:
        compiled = SimpleNamespace(INTERPRETED=tl.constexpr(False))
        monkeypatch.setattr(fused, "_kernels", lambda: compiled)
    for kind in KINDS:
        layer = getattr(scratch_cells, kind)(3, 4, 2, backend="fused")
        plain = getattr(scratch_cells, kind)(3, 4, 2, backend="plain")
        plain.load_state_dict(layer.state_dict())
        x = torch.randn(3, 2, 3)
        with launches() as names:
            output, _ = layer(x)
        assert not names
        assert type(output.grad_fn).__name__ == f"{bptt.ThroughTime.__name__}Backward"
        torch.testing.assert_close(output, plain(x)[0])


@EACH
def test_transforms_and_second_derivatives(kind: str) -> None:
    cell = CELLS[kind](3, 4)
    x, state = draw(cell, 3, 2)

    def loss(way: Any, x: Tensor) -> Tensor:
        return way(cell, x, state)[0].pow(2).sum()

    with launches() as names:
        slope = torch.func.grad(partial(loss, unroll_fused))(x)
        with forward_ad.dual_level():
            dual = loss(unroll_fused, forward_ad.make_dual(x, torch.ones_like(x)))
            tangent = forward_ad.unpack_dual(dual).tangent
    assert not names
    torch.testing.assert_close(tangent, slope.sum())
    seen = []
    for way in (unroll_fused, unroll):
        (slope,) = torch.autograd.grad(loss(way, x), x, create_graph=True)
        seen.append((slope, *torch.autograd.grad(slope.pow(2).sum(), [x, *cell.parameters()][:3])))
    assert_close(*seen)


@pytest.mark.parametrize("kind", KINDS)
def test_compiling_sees_the_plain_loop(kind: str) -> None:
    layer = getattr(scratch_cells, kind)(3, 4, backend="fused")
    x = torch.randn(3, 2, 3)
    with launches() as names:
        output, _ = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
    assert not names
    torch.testing.assert_close(output, layer(x)[0])


def test_packed_sequences_through_the_layer() -> None:
    ours, theirs = scratch_cells.GRU(3, 4, backend="fused"), nn.GRU(3, 4)
    ours.load_state_dict(theirs.state_dict())
    packed = pack_padded_sequence(torch.randn(4, 3, 3), torch.tensor([4, 2, 1]))
    torch.testing.assert_close(ours(packed)[0].data, theirs(packed)[0].data)


# --- a comparison never seen failing is not a comparison ----------------------------------------

BUGS = {
    # kind, as it is -> as it is not
    "gates i and f exchanged": (
        "LSTM",
        "w_i = matrix(w_hh, True",
        "w_i = matrix(w_hh + H * H, True",
    ),
    "dc without the forget gate": ("LSTM", "        dc = f * dc\n", ""),
    "dc only of the last step": ("LSTM", "dc += o * (1", "dc = o * (1"),
    "tanh(c) of the step before": ("LSTM", "tanh_c = tanh(f * c + i * g)", "tanh_c = tanh(c)"),
    "h in the place of c": (
        "LSTM",
        "tl.store(c_after + t * c_step + at, c",
        "tl.store(c_after + t * c_step + at, h",
    ),
    "gates not kept": ("LSTM", "            tl.store(x + 3 * H, o, inside)\n", ""),
    "bias outside the bracket of r": ("GRU", "m = b_n + product", "m = product"),
    "dh without what is kept of it": ("GRU", "dh = z * dh", "dh = 0 * dh"),
    "dn for dm": ("GRU", "dm = dn * r", "dm = dn"),
    "W for its transpose": ("RNN", "(h, h_row, w, row < B, True", "(h, h_row, w, row < B, False"),
    "slope without the square": (
        "RNN",
        "da = tl.where(h > 0, dh, 0.0) if RELU else (1 - h * h)",
        "da = (1 - h)",
    ),
    "outputs' gradient left out": (
        "RNN",
        "dh += load(d_outputs + t * B * H + at, inside)\n        da",
        "dh += 0\n        da",
    ),
    "reads forward only": ("RNN", "load(gates + t * B * H", "load(gates + step * B * H"),
    "walks back only one way": (
        "RNN",
        "        t = moment(step, T, not REVERSE)\n        h = ",
        "        t = moment(step, T, True)\n        h = ",
    ),
}


def with_bug(right: str, wrong: str, folder: Path) -> ModuleType:
    """The kernels with one line changed, from a file of their own: Triton reads the source."""
    source = Path(kernels.__file__).read_text()
    assert source.count(right) == 1, right
    path = folder / "wrong_kernels.py"
    path.write_text(source.replace(right, wrong))
    spec = importlib.util.spec_from_file_location("wrong_kernels", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", [None, *BUGS])
def test_planted_bugs_are_caught(
    name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the comparison that the property test makes, which lets the right kernels pass."""
    kinds = KINDS
    if name is not None:
        kind, right, wrong = BUGS[name]
        monkeypatch.setattr(fused, "_kernels", lambda: module)
        module, kinds = with_bug(right, wrong, tmp_path), (kind,)
    for kind in kinds:
        options = {"input_size": 2, "hidden_size": 5, "bidirectional": True}
        configuration = Configuration(kind, options, time=3, batch=3, dtype=torch.float32)
        layers = configuration.build(FUSED), configuration.build(nn)
        seen = (observe(layer, configuration) for layer in layers)
        assert bool(differences(*seen, torch.float32)) == (name is not None)


# --- for a GPU that is not there ----------------------------------------------------------------


@pytest.mark.skipif(not Path(triton.knobs.nvidia.ptxas.path).exists(), reason="no ptxas")
def test_every_kernel_compiles_for_an_h100() -> None:
    """At 128 units: without spilling to speak of, within the shared memory there is."""
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.kernel_resources", "--json"],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"TRITON_INTERPRET": "0"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = json.loads(said)
    assert len(found) == 18
    for each in found:
        assert each["on_chip"] == (each["numbers"] == "bfloat16")
        assert each["stack"] <= 64, each
        gates = {"rnn": 1, "gru": 3, "lstm": 4}[each["kernel"].split("_")[0]]
        weights = gates * 128 * 128 * 2 if each["on_chip"] else 0
        assert each["shared_memory"] <= weights + fused.SPARE, each
