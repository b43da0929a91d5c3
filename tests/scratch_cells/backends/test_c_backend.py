"""The walks in C: every size, any number of threads, σ and tanh, and how the library is made."""

import ctypes
import dataclasses
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import scratch_cells
from scratch_cells.backends import c_backend as compiled
from scratch_cells.backends.bptt import Tape, derivation_of, operands_of
from scratch_cells.backends.c_backend import COMPILED, SOURCE, covers, unroll_compiled, walks
from scratch_cells.backends.torch_backend import Block, Derivation
from scratch_cells.cell import parts
from scratch_cells.unroll import unroll
from tests.helpers.backends import LAYERS, needs_gcc, way_of
from tests.helpers.oracles import assert_same
from tests.helpers.paths import ROOT
from tests.helpers.strategies import Configuration, configurations
from tests.scratch_cells.backends.test_bptt import CELLS, EACH, draw

pytestmark = needs_gcc


@pytest.fixture
def every_walk_on_all_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(compiled, "LITTLE_WORK", 0)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a processor whose vectors have 256 bits."""
    monkeypatch.setattr(compiled, "OPTIONS", (*compiled.OPTIONS, "-mno-avx512f"))
    walks.cache_clear()
    yield
    walks.cache_clear()


def one_block(kind: str, x: Tensor, size: int) -> tuple[Derivation, Block]:
    """A walk with weights drawn, and a block that begins from zero."""
    cell = CELLS[kind](x.size(2), size, dtype=x.dtype).requires_grad_(False)
    _, w_ih, w_hh, b_ih, b_hh, *state = operands_of(cell, x, cell.zero_state(x[0]))
    walk = COMPILED[derivation_of(cell)](w_ih, w_hh, b_ih, b_hh, len(x))
    tape = Tape.blank(type(walk), x, state[0], keep=True, reverse=False)
    tape.begin(tuple(state))
    ((_, block),) = tape.blocks()
    return walk, block


# --- the same as by hand and in torch.nn ---------------------------------------------------------


def compare_with_the_plain_loop(
    kind: str, time: int, batch: int, size: int, dtype: torch.dtype = torch.float64
) -> None:
    """Outputs, final state and every gradient."""
    cell = CELLS[kind](3, size, dtype=dtype)
    x, state = draw(cell, time, batch)
    seen = []
    for way in (unroll_compiled, unroll):
        output, final = way(cell, x, state, None, size % 2 == 1)
        assert way_of(output) == ("compiled" if way is unroll_compiled else "plain")
        returned = (output, *parts(final))
        loss = sum(
            (part * torch.linspace(-1, 1, part.numel()).view(part.shape)).sum() for part in returned
        )
        seen.append((*returned, *torch.autograd.grad(loss, [x, *parts(state), *cell.parameters()])))
    for got, expected in zip(*seen, strict=True):
        bound = 1e-12 * max(1.0, expected.abs().max().item())
        torch.testing.assert_close(got, expected, rtol=0, atol=bound)


SIZES = st.one_of(st.integers(1, 70), st.sampled_from([127, 128, 129, 130]))
BATCHES = st.integers(1, 40)


@EACH
@pytest.mark.usefixtures("every_walk_on_all_threads")
@given(time=st.integers(1, 4), batch=BATCHES, size=SIZES, threads=st.integers(1, 5))
def test_every_size(kind: str, time: int, batch: int, size: int, threads: int) -> None:
    """Rows are shared out among threads and go by a few, units by panels: none is left out."""
    torch.set_num_threads(threads)
    compare_with_the_plain_loop(kind, time, batch, size)


@EACH
@pytest.mark.usefixtures("every_walk_on_all_threads", "narrow")
@given(time=st.integers(1, 4), batch=BATCHES, size=SIZES)
@settings(max_examples=settings().max_examples // 3)
def test_every_size_in_narrow_vectors(kind: str, time: int, batch: int, size: int) -> None:
    torch.set_num_threads(2)
    compare_with_the_plain_loop(kind, time, batch, size)


@pytest.mark.usefixtures("narrow")
@given(configurations(dtype=torch.float32, layouts=("batched", "unbatched")))
@settings(max_examples=settings().max_examples // 3)
def test_narrow_vectors_in_float32(configuration: Configuration) -> None:
    ours, theirs = configuration.build(LAYERS["compiled"]), configuration.build(torch.nn)
    assert_same(ours, theirs, configuration, torch.float32)


@EACH
@pytest.mark.usefixtures("every_walk_on_all_threads")
def test_threads_do_not_change_a_bit(kind: str) -> None:
    """In a walk each number is summed up in the same order, whoever does it."""
    seen = []
    for threads in (1, 2, 3, 4, 2):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        walk, block = one_block(kind, torch.randn(7, 23, 3), 40)
        walk.forward(block)
        d_state = [torch.randn(23, 40) for _ in range(2 if kind == "LSTM" else 1)]
        d = torch.empty(7, 23, walk.gradient_count * 40)
        d_input, d_w_ih, d_w_hh = map(torch.zeros_like, (block.input, walk.w_ih, walk.w_hh))
        block = dataclasses.replace(block, d_input=d_input)
        walk.backward(block, torch.randn(7, 23, 40), d_state, d)
        walk.add_to_weights(block, d, d_w_ih, d_w_hh)
        gradients = [d, *d_state, d_input, d_w_ih, d_w_hh]
        seen.append([block.gates, block.h_after, *gradients])
    for other in seen[1:]:
        assert all(map(torch.equal, seen[0], other))


@EACH
@pytest.mark.parametrize("layout", ["expanded", "batch first", "every other", "none"])
def test_gradients_from_outside_of_any_layout(kind: str, layout: str) -> None:
    torch.manual_seed(0)
    cell = CELLS[kind](3, 20, dtype=torch.float64)
    x, state = draw(cell, 6, 5)
    d = {
        "expanded": torch.randn(6, 1, 1, dtype=torch.float64).expand(6, 5, 20),
        "batch first": torch.randn(5, 6, 20, dtype=torch.float64).transpose(0, 1),
        "every other": torch.randn(6, 5, 40, dtype=torch.float64)[..., ::2],
        "none": None,
    }[layout]
    seen = []
    for way in (unroll_compiled, unroll):
        output, final = way(cell, x, state)
        last = parts(final)[-1]
        d_last = torch.linspace(-1, 1, 100, dtype=torch.float64).view(20, 5).t()
        ends, d_ends = ([last], [d_last]) if d is None else ([output, last], [d, d_last])
        seen.append(torch.autograd.grad(ends, [x, *cell.parameters(), *parts(state)], d_ends))
    for got, expected in zip(*seen, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@EACH
def test_no_number_spoils_another(kind: str) -> None:
    """A sequence with a NaN or an infinity in it leaves the others of the batch as they are."""
    torch.manual_seed(0)
    cell = CELLS[kind](3, 20)
    x, state = draw(cell, 4, 8)
    with torch.no_grad():
        expected, _ = unroll_compiled(cell, x, state)
        x[1, 2, 0], x[2, 5, 1] = torch.nan, torch.inf
        got, _ = unroll_compiled(cell, x, state)
        plain, _ = unroll(cell, x, state)
    others = [row for row in range(8) if row not in (2, 5)]
    assert torch.equal(got[:, others], expected[:, others])
    assert got[1:, 2].isnan().all()
    torch.testing.assert_close(got, plain, rtol=1e-5, atol=1e-6, equal_nan=True)


# --- σ and tanh -----------------------------------------------------------------------------------


def activated(kind: str, a: Tensor) -> Tensor:
    """What a cell's first gate makes of the preactivations (n,)."""
    walk, block = one_block(kind, a.view(1, -1, 1), 1)
    walk.w_ih.fill_(1)
    walk.projection_bias.zero_()
    walk.forward(block)
    return block.gates[0, :, 0]


def spread(dtype: torch.dtype) -> Tensor:
    """Small and large numbers of both signs, zero and the infinities."""
    tiny, large = torch.logspace(-30, 0, 10_001, dtype=dtype), torch.linspace(1, 80, 100_001)
    positive = torch.cat([tiny, large.to(dtype), torch.tensor([0, 1e4, torch.inf], dtype=dtype)])
    return torch.cat([positive, -positive])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tanh(dtype: torch.dtype) -> None:
    """Within four units in the last place, however small; in float32 of the true value."""
    a = spread(dtype)
    got = activated("RNN", a)
    expected = torch.tanh(a.double()).to(dtype)
    torch.testing.assert_close(got, expected, rtol=4 * torch.finfo(dtype).eps, atol=0)
    assert torch.equal(got[: len(a) // 2], -got[len(a) // 2 :])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sigmoid(dtype: torch.dtype) -> None:
    """Likewise, to where exp(a) is no longer a normal number; beyond it is as good as zero."""
    a = spread(dtype)
    got, expected = activated("LSTM", a), torch.sigmoid(a.double()).to(dtype)
    tiny = torch.finfo(dtype).tiny
    torch.testing.assert_close(got, expected, rtol=4 * torch.finfo(dtype).eps, atol=2 * tiny)
    assert ((got >= 0) & (got <= 1)).all()


def test_not_a_number_stays_one() -> None:
    a = torch.full((40,), torch.nan)
    for kind in CELLS:
        assert activated(kind, a).isnan().all()


# --- what goes another way -----------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 4])
def test_large_weights_want_rows_enough(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    weights = 512 * 512 + 512 * 3
    assert weights > compiled.CACHED
    enough = -(-weights * threads // compiled.FETCHED)
    cell, x = scratch_cells.RNNCell(3, 512), torch.zeros(2, enough, 3)
    assert covers(cell, x)
    assert not covers(cell, x[:, 1:])
    assert covers(scratch_cells.RNNCell(3, 500), x[:, :1])
    output, _ = scratch_cells.RNN(3, 512)(x[:, 1:])
    assert way_of(output) == "by hand"


@EACH
def test_views_that_negate(kind: str) -> None:
    """The numbers of such a tensor lie in memory with the other sign."""
    cell = CELLS[kind](3, 20, dtype=torch.float64)
    x, state = draw(cell, 6, 5)
    output, _ = unroll_compiled(cell, x, state)
    d = torch.randn_like(output)
    (got,) = torch.autograd.grad(output, x, torch._neg_view(d), retain_graph=True)
    (expected,) = torch.autograd.grad(output, x, d)
    assert torch.equal(got, -expected)
    with torch.no_grad():
        (got, _), (expected, _) = (
            unroll_compiled(cell, y, state) for y in (torch._neg_view(x), -x)
        )
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


# --- how the library is made ----------------------------------------------------------------------

USE = """
import torch, scratch_cells
from scratch_cells.backends.c_backend import walks
torch.manual_seed(0)
layer = scratch_cells.LSTM(3, 20)
plain = scratch_cells.LSTM(3, 20, backend="plain")
plain.load_state_dict(layer.state_dict())
x = torch.randn(5, 2, 3)
torch.testing.assert_close(layer(x)[0], plain(x)[0], rtol=0, atol=1e-6)
print("in C" if walks(torch.float32) else "by hand")
"""


def start(cache: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USE],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(cache), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def use(cache: Path, **environment: str) -> tuple[str, str]:
    """What a process of its own prints, and what it complains of."""
    process = start(cache, **environment)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out.strip(), err


def gcc_that(folder: Path, does: str) -> str:
    """A PATH on which gcc is a script."""
    folder.mkdir()
    script = folder / "gcc"
    script.write_text(f"#!/bin/sh\n{does}\n")
    script.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def test_compiled_once_for_all(tmp_path: Path) -> None:
    """Processes that start at once each find a whole library, whoever made it."""
    processes = [start(tmp_path) for _ in range(4)]
    for process in processes:
        out, err = process.communicate()
        assert (process.returncode, out, err) == (0, "in C\n", "")
    folder = tmp_path / "recurrent-by-hand"
    (library,) = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    made = library.stat().st_mtime_ns
    path = gcc_that(
        tmp_path / "bin", f'case "$*" in *-E*) exec {shutil.which("gcc")} "$@";; esac; exit 1'
    )
    assert use(tmp_path, PATH=path) == ("in C", "")
    assert library.stat().st_mtime_ns == made


def test_without_a_compiler(tmp_path: Path) -> None:
    assert use(tmp_path, PATH=str(tmp_path)) == ("by hand", "")


def test_with_a_compiler_that_fails(tmp_path: Path) -> None:
    path = gcc_that(tmp_path / "bin", 'echo "walks.c: no space left" >&2; exit 1')
    out, err = use(tmp_path, PATH=path)
    assert out == "by hand"
    message = "walks.c cannot be used, so layers run by hand, slower: walks.c: no space left"
    assert err.count(message) == 1
    assert list((tmp_path / "recurrent-by-hand").glob("*")) == []


def test_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    out, err = use(tmp_path / "file")
    assert out == "by hand"
    assert "walks.c cannot be used" in err
    assert "Not a directory" in err


@pytest.mark.parametrize("says", ["echo >&2", "true"])
def test_with_a_compiler_that_fails_without_a_word(says: str, tmp_path: Path) -> None:
    out, err = use(tmp_path, PATH=gcc_that(tmp_path / "bin", f"{says}; exit 1"))
    assert out == "by hand"
    assert "layers run by hand, slower: Command " in err
    assert "returned non-zero exit status 1" in err


def test_a_folder_that_others_can_write_to(tmp_path: Path) -> None:
    """Code is loaded from there."""
    folder = tmp_path / "recurrent-by-hand"
    folder.mkdir()
    folder.chmod(0o777)
    out, err = use(tmp_path)
    assert out == "by hand"
    assert f"others can write to {folder}: remove it, or set XDG_CACHE_HOME" in err
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else(tmp_path: Path) -> None:
    folder = tmp_path / "recurrent-by-hand"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    out, err = use(tmp_path)
    assert out == "by hand"
    assert f"others can write to {folder}" in err


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.warns(UserWarning, match="slower: Could not determine home directory"):
        assert walks.__wrapped__(torch.float32) is None


def test_beside_another_openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch runs on another than GCC's, there would be two."""
    load = ctypes.CDLL

    def without_gomp(name: str, **options: Any) -> ctypes.CDLL:
        if "gomp" in name:
            raise OSError(f"{name}: cannot open shared object file")
        return load(name, **options)

    monkeypatch.setattr(ctypes, "CDLL", without_gomp)
    with pytest.warns(UserWarning, match="layers run by hand, slower: libgomp.so.1: cannot open"):
        assert walks.__wrapped__(torch.float32) is None


def test_an_older_processor(tmp_path: Path) -> None:
    gcc = shutil.which("gcc")
    path = gcc_that(tmp_path / "bin", f'exec {gcc} $(echo "$*" | sed s/-march=native//)')
    assert use(tmp_path, PATH=path) == ("by hand", "")


@pytest.mark.parametrize("double", [(), ("-DDOUBLE",)])
@pytest.mark.parametrize("narrow", [(), ("-mno-avx512f",)])
def test_the_compiler_has_nothing_to_say(double: Any, narrow: Any, tmp_path: Path) -> None:
    options = (*compiled.OPTIONS, *double, *narrow, "-Wall", "-Wextra", "-Wpedantic")
    command = ["gcc", *options, str(SOURCE), "-o", str(tmp_path / "walks.so")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_byte_out_of_bounds(tmp_path: Path) -> None:
    """The property tests of this file once more, watched by the compiler's address sanitizer."""
    asan = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not os.path.isabs(asan):
        pytest.skip("gcc comes without its address sanitizer")
    program = (
        "import sys, pytest\n"
        "from scratch_cells.backends import c_backend as compiled\n"
        "compiled.OPTIONS += ('-fsanitize=address', '-g')\n"
        "sys.exit(pytest.main(['-s', '-p', 'no:cacheprovider', *sys.argv[1:]]))"
    )
    tests = [
        "tests/scratch_cells/backends/test_c_backend.py::test_every_size",
        "tests/scratch_cells/backends/test_c_backend.py::test_sigmoid",
    ]
    done = subprocess.run(
        [sys.executable, "-c", program, *tests],
        cwd=ROOT,
        env={
            **os.environ,
            "XDG_CACHE_HOME": str(tmp_path),
            # The C++ library too: otherwise what Triton throws while it is imported is fatal.
            "LD_PRELOAD": f"{asan} libstdc++.so.6",
            "ASAN_OPTIONS": "detect_leaks=0",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
