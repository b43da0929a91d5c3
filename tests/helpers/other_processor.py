"""The C backend's library on another processor, or of another compiler, in a process of its own.

Python and torch run here. A call of the library sends the memory that its pointers may reach to a
process that has loaded the library, an emulated one if the processor is another. What the call has
changed there is then changed here.
"""

import ctypes
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from scratch_cells.backends.c_compiler import CONSTANTS, OPTIONS, SOURCE

DRIVER = Path(__file__).with_name("remote_calls.c")
REACH = 2**18
"""Bytes after a pointer that a call may use: tests have small tensors."""


ARGUMENTS = 6
"""The largest number of arguments; a function ignores more than it has."""


class RemoteFunction:
    """A function of the library, of integers, pointers and structures by ``byref``."""

    def __init__(self, library: "RemoteLibrary", name: str) -> None:
        self.library, self.name = library, name

    def __call__(self, *given: Any) -> int:
        words, flags = [0] * ARGUMENTS, [0] * ARGUMENTS
        pointers: list[int] = []  # addresses of the pointers in structures
        reached = []
        for index, each in enumerate(given):
            if isinstance(each, int):
                words[index] = each
            elif isinstance(each, ctypes.c_int64):
                words[index] = each.value
            else:
                structure = getattr(each, "_obj", None)
                words[index] = each.value if structure is None else ctypes.addressof(structure)
                flags[index] = 1
                reached.append(words[index])
                for address, value in _pointers(structure):
                    pointers.append(address)
                    reached.append(value)
        regions = _regions(reached)
        message = [b"f", _text(self.name), *map(_number, words + flags), _number(len(regions))]
        for address, before in regions:
            message += [_number(address), _number(len(before)), before]
        message += map(_number, [len(pointers), *pointers])
        self.library.send(b"".join(message))
        (result,) = struct.unpack("q", self.library.receive(8))
        for address, before in regions:
            _write_changes(address, before, self.library.receive(len(before)))
        return int(result)


class RemoteLibrary(ctypes.CDLL):
    """Stands for the library. ``constants`` is a library of this machine with its constants.

    ``ctypes.c_int64.in_dll`` reads constants without calling this class.
    """

    def __init__(self, constants: Path, process: subprocess.Popen[bytes]) -> None:
        super().__init__(str(constants))
        self.process = process

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        function = RemoteFunction(self, name)
        setattr(self, name, function)
        return function

    def send(self, message: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(message)
        self.process.stdin.flush()

    def receive(self, size: int) -> bytes:
        assert self.process.stdout is not None
        content = self.process.stdout.read(size)
        assert len(content) == size, f"the process has ended with {self.process.wait()}"
        return content


@contextmanager
def library_of(compiler: list[str], run: list[str], folder: Path) -> Iterator[RemoteLibrary]:
    """The library, compiled and running elsewhere.

    Args:
        compiler: command of a C compiler, with the options that name the processor and the dtype.
        run: what precedes the command of a program of that processor.
        folder: for the compiled files.
    """
    options = [option for option in OPTIONS if option != "-march=native"]
    library, driver, constants = (folder / name for name in ("kernels.so", "driver", "here.so"))
    warnings = ["-Wall", "-Wextra", "-Werror"]
    subprocess.run([*compiler, *options, *warnings, str(SOURCE), "-o", str(library)], check=True)
    subprocess.run([*compiler, *warnings, str(DRIVER), "-o", str(driver)], check=True)
    with subprocess.Popen(
        [*run, str(driver), str(library)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = []
        for name in CONSTANTS:
            process.stdin.write(b"c" + _text(name))
            process.stdin.flush()
            (value,) = struct.unpack("q", process.stdout.read(8))
            lines.append(f"const long long {name} = {value};")
        subprocess.run(
            ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(constants)],
            input="\n".join(lines).encode(),
            check=True,
        )
        try:
            yield RemoteLibrary(constants, process)
        finally:
            process.stdin.close()


def problem_of(compiler: list[str], run: list[str], folder: Path) -> str:
    """Why a program with OpenMP cannot be compiled and run there, else empty.

    Args:
        compiler, run, folder: as for ``library_of``.
    """
    names = [command[0] for command in (compiler, run) if command]
    if absent := [name for name in names if shutil.which(name) is None]:
        return f"not installed: {', '.join(absent)}"
    program = folder / "program"
    source = b"int omp_get_max_threads(void); int main(void) { return omp_get_max_threads() < 1; }"
    for command in (
        [*compiler, "-fopenmp", "-x", "c", "-", "-o", str(program)],
        [*run, str(program)],
    ):
        done = subprocess.run(command, input=source, capture_output=True)
        if done.returncode:
            return f"{command[0]} fails: {done.stderr.decode(errors='replace').splitlines()[:1]}"
    return ""


def _number(value: int) -> bytes:
    return struct.pack("Q", value)


def _text(text: str) -> bytes:
    return _number(len(text)) + text.encode()


def _pointers(structure: Any) -> Iterator[tuple[int, int]]:
    """Address and value of each pointer in a structure that is not null."""
    for name, kind in getattr(structure, "_fields_", ()):
        if kind is ctypes.c_void_p and getattr(structure, name):
            field = getattr(type(structure), name)
            yield ctypes.addressof(structure) + field.offset, getattr(structure, name)


def _regions(addresses: list[int]) -> list[tuple[int, bytes]]:
    """Address and content of the memory within REACH of the addresses, without overlaps."""
    ends: list[list[int]] = []
    for address in sorted(set(addresses)):
        if ends and address <= ends[-1][1]:
            ends[-1][1] = address + REACH
        else:
            ends.append([address, address + REACH])
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        return [(start, _read(memory, start, end)) for start, end in ends]


def _read(memory: Any, start: int, end: int) -> bytes:
    """The bytes from ``start`` on, up to the end of what the process has there."""
    memory.seek(start)
    content = b""
    with suppress(OSError):  # the next page is not the process's
        while part := memory.read(end - start - len(content)):
            content += part
    return content


def _write_changes(address: int, before: bytes, after: bytes) -> None:
    """Write the bytes that differ, and only these: the memory around them may be in use."""
    old, new = (np.frombuffer(content, np.uint8) for content in (before, after))
    here = np.frombuffer((ctypes.c_uint8 * len(before)).from_address(address), np.uint8)
    changed = np.flatnonzero(old != new)
    here[changed] = new[changed]
