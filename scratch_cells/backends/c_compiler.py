"""Compile, cache and load the C kernels.

GCC compiles ``c_kernels.c`` for the processor of this machine when it is first needed, which takes
a second or two. The library is cached in ``$XDG_CACHE_HOME/recurrent-by-hand``, by default in
``~/.cache/recurrent-by-hand``.
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
from functools import cache
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("c_kernels.c")
TYPES = {torch.float32: "float", torch.float64: "double"}
OPTIONS = ("-std=gnu11", "-O2", "-march=native", "-fopenmp", "-fPIC", "-shared")


class SequenceArgs(ctypes.Structure):
    """The C structure of the same name, with pointers as addresses."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("T", "B", "I", "H", "G", "gradient_count")),
        *((name, ctypes.c_int64) for name in ("reverse", "threads", "needs_backward")),
        *((name, ctypes.c_void_p) for name in ("w_ih", "w_hh", "b", "b_hn", "input")),
        *((name, ctypes.c_int64) for name in ("input_step_stride", "input_row_stride")),
        *((name, ctypes.c_void_p) for name in ("gates", "h_before", "h_after", "extra")),
        *((name, ctypes.c_void_p) for name in ("c_before", "c_after")),
        ("c_step_stride", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("d", "d_outputs")),
        *((name, ctypes.c_int64) for name in ("d_outputs_step_stride", "d_outputs_row_stride")),
        *((name, ctypes.c_void_p) for name in ("d_input", "dh", "dc", "d_w_ih", "d_w_hh")),
        ("panels", ctypes.c_void_p),
    )


class _Field(ctypes.Structure):
    """The C structure ``Field``: a field of SequenceArgs and its offset in bytes."""

    _fields_ = (("name", ctypes.c_char_p), ("offset", ctypes.c_int64))


@cache
def load_library(dtype: torch.dtype) -> tuple[ctypes.CDLL | None, str]:
    """The kernels for a dtype, compiled now or earlier, or None and the reason.

    Warns if the library should be available and is not, for example because GCC fails.
    """
    gcc = shutil.which("gcc")
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return None, "the C backend needs Linux on an x86-64 processor"
    if gcc is None:
        return None, "the C backend needs GCC, and there is no gcc on the PATH"
    options = [*OPTIONS, *(["-DDOUBLE"] if dtype == torch.float64 else [])]
    try:
        # Two OpenMP runtimes in one process would compete for the cores, so torch must use GCC's.
        ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD)
        macros = _run([gcc, *options, "-dM", "-E", "-x", "c", os.devnull])
        if "__AVX2__" not in macros or "__FMA__" not in macros:
            return None, "the C backend needs a processor with AVX2 and FMA"
        # The predefined macros include the compiler's version and the processor's features.
        hashed = "\n".join([*options, macros, SOURCE.read_text("utf-8")])
        name = f"kernels_{TYPES[dtype]}_{hashlib.sha256(hashed.encode()).hexdigest()[:16]}.so"
        path = _cache_folder() / name
        if not path.exists():
            _compile([gcc, *options], path)
        library = ctypes.CDLL(str(path))
        check_sequence_args(library)
        return library, ""
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        stderr = (getattr(error, "stderr", None) or "").strip()
        cause = (stderr or str(error)).splitlines()[0]
        reason = f"the C backend is not available: {cause}"
        warnings.warn(f"{reason}. A slower backend runs instead.", stacklevel=2)
        return None, reason


def check_sequence_args(library: ctypes.CDLL) -> None:
    """Check that C and Python lay out SequenceArgs in the same way.

    Raises:
        RuntimeError: a field is missing, or at another offset.
    """
    in_python = {name: getattr(SequenceArgs, name).offset for name, *_ in SequenceArgs._fields_}
    fields = ctypes.pointer(_Field.in_dll(library, "sequence_args_fields"))
    in_c, index = {}, 0
    while fields[index].name:  # the last entry has no name, and the size of the structure
        in_c[fields[index].name.decode()] = fields[index].offset
        index += 1
    if in_c != in_python or fields[index].offset != ctypes.sizeof(SequenceArgs):
        raise RuntimeError("SequenceArgs in c_kernels.c differs from the one in c_compiler.py")


def _compile(command: list[str], path: Path) -> None:
    """Compile to a temporary name and rename, so that no process loads an incomplete library."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        _run([*command, str(SOURCE), "-o", str(temporary)])
        temporary.replace(path)


def _cache_folder() -> Path:
    """The folder of the cached libraries, created if missing.

    Code is loaded from it, so it must be writable only by the current user.

    Raises:
        OSError: it cannot be created, or other users can write to it.
        RuntimeError: the user has no home folder.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "recurrent-by-hand"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(
            f"other users can write to {folder}: remove it, or set XDG_CACHE_HOME"
        )
    return folder


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
