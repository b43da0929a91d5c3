"""What makes GPU kernels fail with some shapes only: strides, offsets, lengths, registers.

No test of this file needs a GPU. ``test_gpu`` repeats those that one can run.
"""

import json
import mmap
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import scratch_cells
from scratch_cells.backends import triton_backend
from scratch_cells.backends.triton_backend import OTHER_SHARED_BYTES
from tests.helpers.backends import CELLS, draw, each_unprojected_kind, unroll_with
from tests.helpers.paths import ROOT
from tests.helpers.triton_checks import assert_close, copy_of_kernels, prefix_of

triton = pytest.importorskip("triton")
kernels = triton_backend._kernels()
if not kernels.INTERPRETED.value:
    pytest.skip("the kernels are compiled here, see test_gpu", allow_module_level=True)

from triton.backends.compiler import GPUTarget  # noqa: E402  # only with Triton
from triton.compiler.compiler import make_backend  # noqa: E402  # as above
from triton.runtime.jit import create_function_from_signature  # noqa: E402  # as above

interpreted = pytest.mark.skipif(
    triton.__version__.startswith("3.6."),  # torch 2.11's
    reason="Triton 3.6 cannot interpret loops with NumPy 1.25 or later",
)


# --- strides of dimensions of size 1 ----------------------------------------------------------


def with_odd_strides(tensor: Tensor) -> Tensor:
    """The same elements, where the stride of each dimension of size 1 is arbitrary."""
    strides = [
        977 if size == 1 else step for size, step in zip(tensor.shape, tensor.stride(), strict=True)
    ]
    return tensor.as_strided(tensor.shape, strides)


class OddStrides(torch.autograd.Function):
    """The identity, whose gradient has odd strides."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return with_odd_strides(gradient)


def gradients_of_rows(cell: Any, x: Tensor, state: Any, change: Callable[..., Tensor]) -> Any:
    leaves = [x, *cell.parameters()]
    output, _ = unroll_with("triton", cell, change(x), state)
    weights = torch.linspace(-1, 1, output.numel()).view_as(output)
    return torch.autograd.grad((OddStrides.apply(output) * weights).sum(), leaves)


@interpreted
@pytest.mark.parametrize(("time", "batch", "size"), [(1, 2, 3), (3, 1, 3), (2, 2, 1), (1, 1, 1)])
@each_unprojected_kind
def test_strides_of_dimensions_of_size_1_are_not_used(
    kind: str, time: int, batch: int, size: int
) -> None:
    cell = CELLS[kind](3, size)
    x, state = draw(cell, time, batch)
    assert with_odd_strides(x).is_contiguous()
    expected = gradients_of_rows(cell, x, state, torch.clone)
    for weight in cell.parameters():
        weight.data = with_odd_strides(weight.data)
    assert_close(list(gradients_of_rows(cell, x, state, with_odd_strides)), list(expected), 0)


@interpreted
def test_a_gradient_that_is_not_contiguous_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison finds the error of a kernel without the copy."""
    cell = CELLS["LSTM"](3, 4)
    x, state = draw(cell, 3, 2)
    seen = []
    for copied in (True, False):
        if not copied:
            monkeypatch.setattr(Tensor, "contiguous", lambda tensor: tensor)
        output, _ = unroll_with("triton", cell, x, state)
        weights = torch.linspace(-1, 1, output.numel()).reshape(4, 2, 3)
        seen.append(torch.autograd.grad((output.permute(2, 1, 0) * weights).sum(), x)[0])
    monkeypatch.undo()
    output, _ = unroll_with("plain", cell, x, state)
    (expected,) = torch.autograd.grad((output.permute(2, 1, 0) * weights).sum(), x)
    assert_close(seen[:1], [expected])
    assert (seen[1] - expected).abs().max() > 1e-3


# --- lengths and batches ----------------------------------------------------------------------


class Recorded:
    """Stands for a kernel: records the grid and the arguments of its launches."""

    def __init__(self, name: str, seen: list[tuple[str, tuple[int, ...], dict[str, Any]]]) -> None:
        self.name, self.seen = name, seen
        self.arg_names = getattr(kernels, name).arg_names

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        return lambda **arguments: self.seen.append((self.name, grid, arguments))


def recorded_launches(
    kind: str, time: int, batch: int, size: int, dtype: torch.dtype, save: bool = True
) -> list[tuple[str, tuple[int, ...], dict[str, Any]]]:
    """The launches of a forward and, with ``save``, a backward pass. Nothing is computed."""
    seen: list[Any] = []
    names = [f"{prefix_of(kind)}_{direction}" for direction in ("forward", "backward")]
    stub = SimpleNamespace(
        INTERPRETED=kernels.INTERPRETED, **{name: Recorded(name, seen) for name in names}
    )
    with pytest.MonkeyPatch.context() as patched, torch.set_grad_enabled(save):
        patched.setattr(triton_backend, "_kernels", lambda: stub)
        cell = CELLS[kind](1, size, dtype=dtype)
        x = torch.randn(time, batch, 1, dtype=dtype)
        output, _ = unroll_with("triton", cell, x, cell.zero_state(x[0]))
        if save:
            output.sum().backward()
    assert [name for name, _, _ in seen] == names[: 1 + save]
    return seen


@each_unprojected_kind
def test_the_number_of_programs_depends_on_the_batch_only(kind: str) -> None:
    """A grid has at most 65,535 programs in its second and third dimension."""
    for time, batch in ((70_000, 1), (2, 300_000)):
        for _, grid, arguments in recorded_launches(kind, time, batch, 1, torch.float32):
            assert grid == (-(-batch // arguments["ROWS"]),)


def compilations(module: ModuleType, launches: list[Any]) -> set[tuple[str, ...]]:
    """The keys with which Triton's compiled kernels are cached, for an H100."""
    backend = make_backend(GPUTarget("cuda", 90, 32))
    keys = set()
    for name, _, arguments in launches:
        function = getattr(module, name)
        bind = create_function_from_signature(function.signature, function.params, backend)
        _, specialization, options = bind(**arguments)
        keys.add((name, str(specialization), str(options)))
    return keys


def not_interpreted(folder: Path, right: str = "", wrong: str = "") -> ModuleType:
    """The kernels as a GPU runs them; they are not compiled yet."""
    with triton.knobs.runtime.scope():
        triton.knobs.runtime.interpret = False
        return copy_of_kernels(folder, right, wrong)


SIZES = [(1, 1), (5, 3), (16, 16), (17, 32)]
"""Steps and batches: 1 and multiples of 16 are what Triton compiles again for."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [5, 16])
@each_unprojected_kind
def test_no_kernel_is_compiled_again_for_another_batch_or_length(
    kind: str, size: int, dtype: torch.dtype, tmp_path: Path
) -> None:
    module = not_interpreted(tmp_path)
    for save in (True, False):
        launches = [
            launch
            for time, batch in SIZES
            for launch in recorded_launches(kind, time, batch, size, dtype, save)
        ]
        assert len(compilations(module, launches)) == 1 + save


@pytest.mark.parametrize("kept", ["", '"T"', '"B"'])
def test_a_specialized_argument_is_found(kept: str, tmp_path: Path) -> None:
    module = not_interpreted(
        tmp_path, 'do_not_specialize=["T", "B"]', f"do_not_specialize=[{kept}]"
    )
    launches = [
        launch
        for time, batch in SIZES
        for launch in recorded_launches("GRU", time, batch, 5, torch.float32)
    ]
    assert len(compilations(module, launches)) > 2


def test_a_pointer_whose_alignment_depends_on_the_batch_is_found(tmp_path: Path) -> None:
    module = not_interpreted(tmp_path)
    launches = [recorded_launches("GRU", 2, batch, 5, torch.float32)[0] for batch in (3, 4)]
    assert len(compilations(module, launches)) == 1
    for _, _, arguments in launches:
        arguments["h_all"] = arguments["h_all"][1:]
    assert len(compilations(module, launches)) == 2


# --- offsets of more than 32 bits -------------------------------------------------------------

H, T, B = 16, 3, 2**30 + 5
PROGRAM = 2**25 + 3  # its first row is 4 times that: beyond 2^31 / H
GATES = {"rnn": (1, 1), "gru": (3, 4), "lstm": (4, 4)}
"""Cell -> gates, and gradients of them, in units of H."""
STEPS = {"h_all": T + 1, "c_all": T + 1, "d_h": 1, "d_c": 1}
"""Buffer -> number of steps, unless it is T."""


MAP_NORESERVE = 0x4000
"""Linux's flag for a mapping that may be larger than the memory; Python 3.11 has no name for it."""


class SparseBuffer:
    """A buffer of more than 2^31 elements, of which only what is used takes memory.

    There is as much space before its beginning, so that a negative offset does not end the process.
    """

    def __init__(self, width: int, steps: int, first: int, batch: int) -> None:
        self.width, self.first, self.batch, self.steps = width * H, first, batch, steps
        self.begin = 2**33 * self.width
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
        size = self.begin + 4 * steps * batch * self.width + 2**33
        self.memory = mmap.mmap(-1, size, flags=flags)

    def argument(self) -> Tensor:
        """The beginning of the buffer, for the kernel."""
        return torch.frombuffer(self.memory, dtype=torch.float32, count=1, offset=self.begin)

    def rows(self) -> list[Tensor]:
        """The rows of one program in each step, (4 * width,)."""
        starts = [
            self.begin + 4 * (t * self.batch + self.first) * self.width for t in range(self.steps)
        ]
        return [
            torch.frombuffer(self.memory, dtype=torch.float32, count=4 * self.width, offset=start)
            for start in starts
        ]


def run_program(function: Any, batch: int, program: int, reverse: bool) -> dict[str, Tensor]:
    """Run one program of a kernel in the interpreter; return its rows of every buffer."""
    from triton.runtime import interpreter  # as late as the kernels

    generator = torch.Generator().manual_seed(0)
    widths = dict.fromkeys(("h_all", "c_all", "extra", "d_outputs", "d_h", "d_c"), 1)
    widths["gates"], widths["d"] = GATES[function.__name__.split("_")[0]]
    buffers = {
        name: SparseBuffer(widths[name], STEPS.get(name, T), first=4 * program, batch=batch)
        for name in function.arg_names
        if name in widths
    }
    for buffer in buffers.values():
        for rows in buffer.rows():
            rows.copy_(torch.rand(rows.shape, generator=generator))
    weights = {
        "w_hh": torch.rand(4 * H, H, generator=generator),
        "b_hn": torch.rand(H, generator=generator),
    }
    options = {"T": T, "B": batch, "H": H, "RELU": False, "SAVE": True, "REVERSE": reverse}
    options |= {"ROWS": 4, "UNITS": 16, "TILE": 16, "PRECISION": "ieee"}
    given = weights | options | {name: buffer.argument() for name, buffer in buffers.items()}
    with pytest.MonkeyPatch.context() as patched:
        identifier = interpreter.TensorHandle(np.array([program], np.int32), interpreter.tl.int32)
        patched.setattr(
            interpreter.interpreter_builder, "create_get_program_id", lambda axis: identifier
        )
        function[(1,)](**{name: given[name] for name in function.arg_names})
    return {name: torch.stack(buffer.rows()) for name, buffer in buffers.items()}


@interpreted
@pytest.mark.skipif(sys.platform != "linux", reason="needs memory that is not reserved")
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_offsets_have_64_bits(cell: str, direction: str) -> None:
    """The same rows, computed by the only program of a small batch and by one of 2^26 programs."""
    function = getattr(kernels, f"{cell}_{direction}")
    for reverse in (False, True):
        expected = run_program(function, 4, 0, reverse)
        got = run_program(function, B, PROGRAM, reverse)
        for name, rows in expected.items():
            assert torch.equal(got[name], rows), name


@interpreted
@pytest.mark.skipif(sys.platform != "linux", reason="needs memory that is not reserved")
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("first = tl.cast(tl.program_id(0), tl.int64) * ROWS", "first = tl.program_id(0) * ROWS"),
        (
            "return tl.cast(T - 1 - step if REVERSE else step, tl.int64)",
            "return T - 1 - step if REVERSE else step",
        ),
        (
            "return buffer + (t * B + first) * WIDTH",
            "return buffer + tl.cast((t * B + first) * WIDTH, tl.int32)",
        ),
    ],
)
def test_offsets_of_32_bits_are_found(right: str, wrong: str, tmp_path: Path) -> None:
    function = copy_of_kernels(tmp_path, right, wrong).rnn_backward
    expected = run_program(kernels.rnn_backward, B, PROGRAM, False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "overflow")  # NumPy's
        got = run_program(function, B, PROGRAM, False)
    assert not all(torch.equal(got[name], rows) for name, rows in expected.items())


# --- registers and shared memory --------------------------------------------------------------


def compiled_resources(*arguments: str) -> tuple[list[dict[str, Any]], list[str], int]:
    """The rows, the problems and the exit status of ``benchmarks.kernel_resources``."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kernel_resources", "--json", *arguments],
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout), done.stderr.splitlines(), done.returncode


needs_ptxas = pytest.mark.skipif(
    not Path(triton.knobs.nvidia.ptxas.path).exists(), reason="no ptxas"
)


@pytest.mark.slow
@needs_ptxas
def test_every_kernel_compiles_for_an_h100_within_its_resources() -> None:
    """With 128 hidden units: no gate in slow memory, and within the shared memory."""
    found, problems, status = compiled_resources()
    assert (problems, status, len(found)) == ([], 0, 18)
    for each in found:
        gates = {"rnn": 1, "gru": 3, "lstm": 4}[each["kernel"].split("_")[0]]
        # 256 KiB, an LSTM's weights in TF32, are more than an H100's shared memory.
        fits = each["precision"] == "bfloat16" or (each["precision"] == "tf32" and gates < 4)
        assert each["on_chip"] == fits, each
        assert each["stack"] <= 64, each
        assert each["registers"] < 255, each
        element_size = 2 if each["precision"] == "bfloat16" else 4
        weights = gates * 128 * 128 * element_size if each["on_chip"] else 0
        assert each["shared_memory"] <= weights + OTHER_SHARED_BYTES, each


@pytest.mark.slow
@needs_ptxas
def test_the_largest_layer_does_not_spill_and_a_larger_one_is_found() -> None:
    """An LSTM of 256 units, and one of 512, which the backend does not accept."""
    found, problems, status = compiled_resources("--hidden-sizes", "256", "512", "--cells", "lstm")
    assert (status, len(found)) == (1, 12)
    assert problems
    assert all("512 units" in line and "bytes of stack" in line for line in problems)
    layer = scratch_cells.LSTM(3, 512, backend="triton")
    assert "too large" in layer.backend_for(torch.zeros(2, 2, 3)).reason
