"""Compile, cache and load the C kernels.

GCC compiles ``c_kernels/`` for the processor of this machine when it is first needed, which takes
a second or two. The library is cached in ``$XDG_CACHE_HOME/recurrent-by-hand``, by default in
``~/.cache/recurrent-by-hand``.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path

import torch

SOURCE = Path(__file__).parent / "c_kernels" / "kernels.c"
"""The file that GCC compiles. It includes the other files of its folder."""

TYPES = {torch.float32: "float", torch.float64: "double", torch.bfloat16: "bfloat16"}
"""The dtypes of a product's factors for which there is a library -> the type's name in C."""

MACROS = {torch.float32: [], torch.float64: ["-DDOUBLE"], torch.bfloat16: ["-DBFLOAT16"]}

MAX_GCC_SECONDS = 60
"""Seconds after which GCC is ended. It takes one or two."""

OPTIONS = ("-std=gnu11", "-O2", "-march=native", "-fopenmp", "-fPIC", "-shared")


PROCESSORS = {"x86_64": ("__AVX2__", "__FMA__"), "aarch64": ("__ARM_NEON",)}
"""Name of the machine -> GCC's macros for the instructions that the kernels need."""


class SequenceArgs(ctypes.Structure):
    """The C structure of the same name, with pointers as addresses."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("T", "B", "I", "H", "P", "G", "gradient_count")),
        *((name, ctypes.c_int64) for name in ("reverse", "threads")),
        ("offsets", ctypes.c_void_p),
        ("needs_backward", ctypes.c_int64),
        *((name, ctypes.c_int64) for name in ("share_units", "projects_in_steps")),
        *((name, ctypes.c_void_p) for name in ("w_ih", "w_hh", "w_ih_panels", "w_hh_panels")),
        *((name, ctypes.c_void_p) for name in ("b", "b_hn", "input")),
        *((name, ctypes.c_int64) for name in ("input_step_stride", "input_row_stride")),
        *((name, ctypes.c_void_p) for name in ("gates", "h_first", "h_before", "h_after")),
        *((name, ctypes.c_void_p) for name in ("extra", "h_factors")),
        ("first_infinite", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("c_before", "c_after")),
        *((name, ctypes.c_void_p) for name in ("d",)),
        ("d_row_stride", ctypes.c_int64),
        ("d_outputs", ctypes.c_void_p),
        ("returns_factors", ctypes.c_int64),
        *((name, ctypes.c_int64) for name in ("d_outputs_step_stride", "d_outputs_row_stride")),
        *((name, ctypes.c_void_p) for name in ("d_input", "dh", "dc", "d_w_ih", "d_w_hh")),
        ("panels", ctypes.c_void_p),
        *((name, ctypes.c_void_p) for name in ("w_hr", "w_hr_panels", "u", "du", "d_h")),
    )


class CallArgs(ctypes.Structure):
    """The C structure of the same name. Fields that are not set are 0 or null."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("T", "B", "I", "H", "reverse", "threads")),
        *((name, ctypes.c_int64) for name in ("share_units", "projects_in_steps")),
        *((name, ctypes.c_int64) for name in ("block_steps", "returns_factors")),
        ("first_infinite", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("w_ih", "w_hh", "w_ih_panels", "w_hh_panels")),
        ("input", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("input_step_stride", "input_row_stride")),
        *((name, ctypes.c_void_p) for name in ("b_ih", "b_hh", "h_0", "c_0")),
        *((name, ctypes.c_void_p) for name in ("outputs", "h_n", "c_n", "saved", "biases")),
        ("d_outputs", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("d_outputs_step_stride", "d_outputs_row_stride")),
        *((name, ctypes.c_void_p) for name in ("d_h_n", "d_c_n", "d_input", "d_h_0", "d_c_0")),
        *((name, ctypes.c_void_p) for name in ("d_w_ih", "d_w_hh", "d_b_ih", "d_b_hh")),
    )


class _Field(ctypes.Structure):
    """The C structure ``Field``: a field of another structure and its offset in bytes."""

    _fields_ = (("name", ctypes.c_char_p), ("offset", ctypes.c_int64))


KINDS = ("rnn_tanh", "rnn_relu", "gru", "lstm", "lstm_projected")
"""The kinds of cells. For the last one there is no call of a whole sequence."""

FUNCTIONS = (
    *(f"{kind}_forward" for kind in KINDS),
    *(f"{kind}_backward" for kind in KINDS),
    *(f"{kind}_forward_call" for kind in KINDS[:-1]),
    *(f"{kind}_backward_call" for kind in KINDS[:-1]),
    "pack_for_forward",
    "pack_for_backward",
    "add_to_weights",
    "sum_rows",
    "panel_elements",
)
"""The functions of the library."""

CONSTANTS = ("lanes", "group")
"""The 64-bit integers of the library."""


@cache
def load_library(dtype: torch.dtype) -> tuple[ctypes.CDLL | None, str]:
    """The kernels for a dtype, compiled now or earlier, or None and the reason.

    Warns if the library should be available and is not, for example because GCC fails.
    """
    gcc = shutil.which("gcc")
    if sys.platform != "linux" or platform.machine() not in PROCESSORS:
        return None, "the C backend needs Linux on an x86-64 or 64-bit ARM processor"
    if gcc is None:
        return None, "the C backend needs GCC, and there is no gcc on the PATH"
    try:
        return _load([gcc, *OPTIONS, *MACROS[dtype]], dtype)
    except Exception as error:  # whatever fails, a slower backend computes the same
        stderr = (getattr(error, "stderr", None) or "").strip()
        cause = (stderr or str(error) or type(error).__name__).splitlines()[0]
        reason = f"the C backend is not available: {cause}"
        warnings.warn(f"{reason}. A slower backend runs instead.", stacklevel=2)
        return None, reason


def _load(command: list[str], dtype: torch.dtype) -> tuple[ctypes.CDLL | None, str]:
    # Two OpenMP runtimes in one process would compete for the cores, so torch must use GCC's.
    ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD)
    macros = _run([*command, "-dM", "-E", "-x", "c", os.devnull])
    if problem := compiler_problem(macros):
        return None, problem
    if dtype == torch.bfloat16 and "__AVX512BF16__" not in macros:
        return None, "products of bfloat16 need a processor with AVX512_BF16"
    # The predefined macros include the compiler's version and the processor's features.
    sources = [path.read_text("utf-8") for path in sorted(SOURCE.parent.glob("*.[ch]"))]
    hashed = "\n".join([*command[1:], macros, *sources])
    name = f"kernels_{TYPES[dtype]}_{hashlib.sha256(hashed.encode()).hexdigest()[:16]}.so"
    path = _cache_folder() / name
    if not _is_complete(path):
        _compile(command, path)
    library = ctypes.CDLL(str(path))
    check_symbols(library)
    check_structure(library, "sequence_args_fields", SequenceArgs)
    check_structure(library, "call_args_fields", CallArgs)
    library.panel_elements.argtypes = (ctypes.c_int64,)
    library.panel_elements.restype = ctypes.c_int64
    return library, ""


def compiler_problem(macros: str) -> str:
    """Why the kernels cannot be used as a compiler compiles them, else empty.

    Args:
        macros: definitions of the compiler's predefined macros, for the processor of this machine.
    """
    if "__clang__" in macros:  # gcc is the name of clang on some systems
        return "the C backend needs GCC, and gcc is clang, whose OpenMP runtime is not torch's"
    needed = PROCESSORS[platform.machine()]
    if not all(f"#define {macro} " in macros for macro in needed):
        return f"the C backend needs a processor with {' and '.join(m.strip('_') for m in needed)}"
    return ""


def check_symbols(library: ctypes.CDLL) -> None:
    """Check that the library has every function and constant that is used.

    Raises:
        RuntimeError: one is missing.
    """
    for name in FUNCTIONS:
        if not hasattr(library, name):
            raise RuntimeError(f"the compiled library has no function {name}")
    for name in (*CONSTANTS, "sequence_args_fields", "call_args_fields"):
        try:
            ctypes.c_int64.in_dll(library, name)
        except ValueError:
            raise RuntimeError(f"the compiled library has no constant {name}") from None


def check_structure(library: ctypes.CDLL, table: str, structure: type[ctypes.Structure]) -> None:
    """Check that C and Python lay out a structure in the same way.

    Args:
        library: the compiled library.
        table: the name of its table of the structure's fields.
        structure: the structure as it is defined in Python.

    Raises:
        RuntimeError: a field is missing, or at another offset.
    """
    in_python = {name: getattr(structure, name).offset for name, *_ in structure._fields_}
    fields = ctypes.pointer(_Field.in_dll(library, table))
    in_c, index = {}, 0
    while fields[index].name:  # the last entry has no name, and the size of the structure
        in_c[fields[index].name.decode()] = fields[index].offset
        index += 1
    if in_c != in_python or fields[index].offset != ctypes.sizeof(structure):
        raise RuntimeError(
            f"{structure.__name__} in c_kernels/ differs from the one in c_compiler.py"
        )


def _compile(command: list[str], path: Path) -> None:
    """Compile to a temporary name and rename, so that no process loads an incomplete library.

    A digest of the library is appended to it, which the loader of the system ignores, and the file
    is written to the disk before it is renamed: after a power failure it is complete or absent.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        _run([*command, str(SOURCE), "-o", str(temporary)])
        with temporary.open("r+b") as file:
            digest = hashlib.sha256(file.read()).digest()
            file.write(digest)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def _is_complete(path: Path) -> bool:
    """Whether the file is a library with its digest. Loading a damaged one can end the process."""
    if not path.is_file():
        return False
    content = path.read_bytes()
    size = hashlib.sha256().digest_size
    return hashlib.sha256(content[:-size]).digest() == content[-size:]


def _cache_folder() -> Path:
    """The folder of the cached libraries, created if missing.

    Code is loaded from it, so it must be writable only by the current user.

    Raises:
        OSError: it cannot be created, or other users can write to it.
        RuntimeError: the user has no home folder.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # to be ignored, according to the XDG standard
        base = Path.home() / ".cache"
    if not base.is_absolute():
        raise RuntimeError(f"the home folder {Path.home()} is not absolute: set HOME")
    folder = base / "recurrent-by-hand"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(
            f"other users can write to {folder}: remove it, or set XDG_CACHE_HOME"
        )
    return folder


def _run(command: list[str]) -> str:
    """stdout of a command.

    Raises:
        OSError: it cannot be started.
        RuntimeError: it does not end within MAX_GCC_SECONDS.
        subprocess.CalledProcessError: it fails.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # so that the processes that it starts can be ended, too
    ) as process:
        try:
            out, err = process.communicate(timeout=MAX_GCC_SECONDS)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                message = f"{command[0]} did not end within {MAX_GCC_SECONDS} s"
                raise RuntimeError(message) from None
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, out, err)
    return out
