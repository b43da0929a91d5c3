"""A block of steps in one call on the CPU: the walks of ``derivations``, in C.

By hand, each step is some ten tensor operations, and what takes the time is not their arithmetic:
every one is called from Python, reads from the cache what the one before has written there, and
shares its work out among the threads anew. In ``walks.c`` a step is one pass, and a thread takes
its rows of the batch through all steps, the input's projection and its gradient included.

The C is compiled by GCC for the processor at hand when it is first needed, which takes a second or
two, and is kept for later in ``$XDG_CACHE_HOME/recurrent-by-hand``, by default in ``~/.cache``.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from functools import cache, cached_property
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from scratch_cells.backends.bptt import (
    autocast_is_on,
    derivation_of,
    exact,
    operands_of,
    through_time,
    unroll_by_hand,
)
from scratch_cells.backends.torch_backend import (
    Block,
    Derivation,
    GRUByHand,
    LSTMByHand,
    ReLUByHand,
    TanhByHand,
)
from scratch_cells.cell import Cell
from shared_interface import State

SOURCE = Path(__file__).with_name("c_kernels.c")
TYPES = {torch.float32: "float", torch.float64: "double"}
OPTIONS = ("-std=gnu11", "-O2", "-march=native", "-fopenmp", "-fPIC", "-shared")

CACHED = 2**18
"""Numbers in W_ih and W_hh that a core keeps by itself: 1 MiB in float32."""
FETCHED = 2**17
"""Of more, every thread fetches all at every step. So many it may, for each row that it has."""
LITTLE_WORK = 2**20
"""Products of two numbers: with fewer, a second thread takes longer to start than it saves."""


def unroll_compiled(
    cell: Cell,
    input: Tensor,
    state: State,
    batch_sizes: tuple[int, ...] | None = None,
    reverse: bool = False,
) -> tuple[Tensor, State]:
    """What :func:`~scratch_cells.unroll.unroll` gives, a block of steps in one call.

    For the three cells in float32 and float64 on x86-64 processors with AVX2, under Linux, where
    there is GCC, and where large weights meet enough rows.

    Everything else goes by hand: other devices and machines, no compiler, and all that
    :func:`~scratch_cells.backends.bptt.unroll_by_hand` leaves to the plain loop.
    """
    operands = operands_of(cell, input, state)
    if (
        batch_sizes is not None
        or autocast_is_on(input)
        or not exact(cell, operands, tuple(TYPES))
        or not covers(cell, input)
    ):
        return unroll_by_hand(cell, input, state, batch_sizes, reverse)
    return through_time(cell, COMPILED[derivation_of(cell)], operands, reverse)


def covers(cell: Cell, input: Tensor) -> bool:
    """Whether there are walks in C for this cell and size where the input is."""
    if derivation_of(cell) is None or input.device.type != "cpu":
        return False
    linears = (cell.input_to_hidden, cell.hidden_to_hidden)
    weights, batch = sum(linear.weight.numel() for linear in linears), input.size(1)
    if weights > CACHED and weights * torch.get_num_threads() > FETCHED * batch:
        return False
    return walks(input.dtype) is not None


class Walk(ctypes.Structure):
    """The C structure of the same name; pointers as addresses."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("T", "B", "I", "H", "G", "gradient_count")),
        *((name, ctypes.c_int64) for name in ("reverse", "threads", "keep")),
        *((name, ctypes.c_void_p) for name in ("w_ih", "w_hh", "b", "b_hn", "input")),
        *((name, ctypes.c_int64) for name in ("step_of_input", "row_of_input")),
        *((name, ctypes.c_void_p) for name in ("gates", "h_before", "h_after", "kept")),
        *((name, ctypes.c_void_p) for name in ("c_before", "c_after")),
        ("step_of_c", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("d", "d_outputs")),
        *((name, ctypes.c_int64) for name in ("step_of_d_outputs", "row_of_d_outputs")),
        *((name, ctypes.c_void_p) for name in ("d_input", "dh", "dc", "d_w_ih", "d_w_hh")),
    )


class _Compiled(Derivation):
    """A derivation that walks along a block, either way, by a function of ``walks.c``."""

    functions: ClassVar[str]
    """How the names of its two functions begin."""

    @cached_property
    def panels(self) -> tuple[Tensor, Tensor]:
        """W_ih and W_hh for the walk forward: a panel has the same few units of every gate."""
        lanes, vectors = self._constant("lanes"), self._constant("vectors")
        units = lanes if self.gate_count > 1 else vectors * lanes
        by_gate = (w.unflatten(0, (self.gate_count, -1)) for w in (self.w_ih, self.w_hh))
        w_ih, w_hh = (panels(w, units) for w in by_gate)
        return w_ih, w_hh

    @cached_property
    def back_panels(self) -> tuple[Tensor, Tensor]:
        """The same for the walk back: a panel has as many columns as a row of sums."""
        units = self._constant("vectors") * self._constant("lanes")
        w_ih, w_hh = (panels(w.t().unsqueeze(0), units) for w in (self.w_ih, self.w_hh_back()))
        return w_ih, w_hh

    def w_hh_back(self) -> Tensor:
        """W_hh with its rows as in ``of_product``."""
        return self.w_hh

    def project(self, block: Block) -> None:
        """Nothing: the walk does it as it goes."""

    def forward(self, block: Block) -> None:
        w_ih, w_hh = self.panels
        weights = {"w_ih": w_ih.data_ptr(), "w_hh": w_hh.data_ptr()}
        self._walk(f"{self.functions}_forward", block, **weights)

    def write_d_input(self, block: Block, d: Tensor) -> None:
        """Nothing: the walk back has done it."""

    def backward(
        self, block: Block, d_outputs: Tensor | None, d_state: list[Tensor], d: Tensor
    ) -> None:
        d_state[:] = [part.contiguous() for part in d_state]
        w_ih, w_hh = self.back_panels
        given = {"w_ih": w_ih.data_ptr(), "w_hh": w_hh.data_ptr(), "d": d.data_ptr()}
        given |= zip(("dh", "dc"), map(Tensor.data_ptr, d_state), strict=False)
        if d_outputs is not None:
            d_outputs = _rows_contiguous(d_outputs)
            given["d_outputs"] = d_outputs.data_ptr()
            given["step_of_d_outputs"], given["row_of_d_outputs"], _ = d_outputs.stride()
        if block.d_input is not None:
            given["d_input"] = block.d_input.data_ptr()
        self._walk(f"{self.functions}_backward", block, **given)

    def zeros_for(self, w: Tensor) -> Tensor:
        return w.new_zeros(w.shape)

    def add_to_weights(self, block: Block, d: Tensor, d_w_ih: Tensor, d_w_hh: Tensor) -> None:
        sums = {"d_w_ih": d_w_ih.data_ptr(), "d_w_hh": d_w_hh.data_ptr()}
        self._walk("add_to_weights", block, d=d.data_ptr(), **sums)

    def _walk(self, function: str, block: Block, **given: int) -> None:
        time, batch, size = block.h_after.shape
        little = time * batch * (self.w_ih.numel() + self.w_hh.numel()) < LITTLE_WORK
        input = _rows_contiguous(block.input)
        walk = Walk(
            T=time,
            B=batch,
            I=input.size(2),
            H=size,
            G=self.gate_count,
            gradient_count=self.gradient_count,
            reverse=block.order[0] > 0,
            threads=1 if little else torch.get_num_threads(),
            keep=block.keep,
            b=self.projection_bias.data_ptr(),
            input=input.data_ptr(),
            step_of_input=input.stride(0),
            row_of_input=input.stride(1),
            gates=block.gates.data_ptr(),
            h_before=block.h_before.data_ptr(),
            h_after=block.h_after.data_ptr(),
            kept=block.kept.data_ptr(),
            c_before=block.c_before.data_ptr(),
            c_after=block.c_after.data_ptr(),
            step_of_c=block.c_after.stride(0),
            **given,
        )
        getattr(self._library, function)(ctypes.byref(walk))

    @property
    def _library(self) -> ctypes.CDLL:
        library = walks(self.w_hh.dtype)
        assert library is not None, "nobody asked covers()"
        return library

    def _constant(self, name: str) -> int:
        return ctypes.c_int64.in_dll(self._library, name).value


class TanhCompiled(_Compiled, TanhByHand):
    """The RNN."""

    functions = "tanh"


class ReLUCompiled(_Compiled, ReLUByHand):
    """The RNN with ReLU."""

    functions = "relu"


class GRUCompiled(_Compiled, GRUByHand):
    """The GRU."""

    functions = "gru"

    def w_hh_back(self) -> Tensor:
        return torch.cat([self.w_hn, self.w_hr_hz])

    def _walk(self, function: str, block: Block, **given: int) -> None:
        self.b_hn = self.b_hn.contiguous()
        super()._walk(function, block, b_hn=self.b_hn.data_ptr(), **given)


class LSTMCompiled(_Compiled, LSTMByHand):
    """The LSTM."""

    functions = "lstm"


COMPILED: dict[type[Derivation] | None, type[Derivation]] = {
    TanhByHand: TanhCompiled,
    ReLUByHand: ReLUCompiled,
    GRUByHand: GRUCompiled,
    LSTMByHand: LSTMCompiled,
}


def panels(w: Tensor, units: int) -> Tensor:
    """(G, H, K) -> (panels, K, G, units), in the last panel zeros for the units beyond H."""
    missing = -w.size(1) % units
    padded = F.pad(w, (0, 0, 0, missing)) if missing else w
    laid_out: Tensor = padded.unflatten(1, (-1, units)).permute(1, 3, 0, 2).contiguous()
    return laid_out


def _rows_contiguous(x: Tensor) -> Tensor:
    """(T, B, N) with the N side by side in memory, as they are there."""
    x = x.resolve_neg()
    return x if x.stride(2) == 1 else x.contiguous()


@cache
def walks(dtype: torch.dtype) -> ctypes.CDLL | None:
    """``walks.c`` for this dtype, compiled now or earlier; None where that cannot be done."""
    gcc = shutil.which("gcc")
    if gcc is None or sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    options = [*OPTIONS, *(["-DDOUBLE"] if dtype == torch.float64 else [])]
    try:
        # With a second OpenMP beside torch's, the threads of both would wait for the same cores.
        ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD)
        macros = _run([gcc, *options, "-dM", "-E", "-x", "c", os.devnull])
        if "__AVX2__" not in macros or "__FMA__" not in macros:
            return None
        # The compiler's own macros tell its version, and the processor.
        made_from = "\n".join([*options, macros, SOURCE.read_text("utf-8")])
        name = f"walks_{TYPES[dtype]}_{hashlib.sha256(made_from.encode()).hexdigest()[:16]}.so"
        library = _cache_folder() / name
        if not library.exists():
            _compile([gcc, *options], library)
        return ctypes.CDLL(str(library))
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or "").strip()
        why = (said or str(error)).splitlines()[0]
        warnings.warn(f"walks.c cannot be used, so layers run by hand, slower: {why}", stacklevel=2)
        return None


def _compile(command: list[str], library: Path) -> None:
    """Make the library under another name first, so that no process loads half of one."""
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        made = Path(folder) / library.name
        _run([*command, str(SOURCE), "-o", str(made)])
        made.replace(library)


def _cache_folder() -> Path:
    """Where libraries are kept. It must be nobody else's, as code is loaded from it.

    Raises:
        OSError: it cannot be made, or others can write there.
        RuntimeError: the user has no home.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "recurrent-by-hand"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(f"others can write to {folder}: remove it, or set XDG_CACHE_HOME")
    return folder


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
