"""Compiling, caching and loading the C kernels."""

import ctypes
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import scratch_cells
from scratch_cells.backends import c_compiler
from scratch_cells.backends.c_compiler import (
    SOURCE,
    SequenceArgs,
    check_structure,
    compiler_problem,
    load_library,
)
from tests.helpers.backends import needs_c
from tests.helpers.paths import ROOT

pytestmark = needs_c

PROGRAM = """
import torch, scratch_cells
from scratch_cells.backends import c_compiler
c_compiler.OPTIONS += ("-O0",)
torch.manual_seed(0)
layer = scratch_cells.LSTM(3, 20)
plain = scratch_cells.LSTM(3, 20, backend="plain")
plain.load_state_dict(layer.state_dict())
x = torch.randn(5, 2, 3)
torch.testing.assert_close(layer(x)[0], plain(x)[0], rtol=0, atol=1e-6)
print(layer.backend_for(x).name)
"""


def start_process(cache: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(cache), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """stdout and stderr of a process, which succeeds."""
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out.strip(), err


RunLayer = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def run_layer(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunLayer]:
    """Runs a layer in this process, which loads the library as a new process does."""

    def run(cache: Path, **environment: str) -> tuple[str, list[str]]:
        """The backend that runs the layer, and the warnings."""
        for name, value in {"XDG_CACHE_HOME": str(cache), **environment}.items():
            monkeypatch.setenv(name, value)
        load_library.cache_clear()
        layer, plain = (scratch_cells.LSTM(3, 20, backend=b) for b in ("auto", "plain"))
        plain.load_state_dict(layer.state_dict())
        x = torch.randn(5, 2, 3)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            output = layer(x)[0]
        torch.testing.assert_close(output, plain(x)[0], rtol=0, atol=1e-6)
        return layer.backend_for(x).name, [str(warning.message) for warning in caught]

    yield run
    load_library.cache_clear()


@pytest.fixture
def unoptimized(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile in a quarter of the time."""
    monkeypatch.setattr(c_compiler, "OPTIONS", (*c_compiler.OPTIONS, "-O0"))


def path_with_gcc(folder: Path, script: str) -> str:
    """A PATH on which gcc is a shell script."""
    folder.mkdir()
    gcc = folder / "gcc"
    gcc.write_text(f"#!/bin/sh\n{script}\n")
    gcc.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


@pytest.mark.slow
def test_processes_share_one_cached_library(
    tmp_path: Path, run_layer: RunLayer, unoptimized: None
) -> None:
    """Processes that start at the same time each load a complete library."""
    processes = [start_process(tmp_path) for _ in range(2)]
    for process in processes:
        assert finish(process) == ("c", "")
    folder = tmp_path / "recurrent-by-hand"
    (library,) = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modified = library.stat().st_mtime_ns
    path = path_with_gcc(
        tmp_path / "bin", f'case "$*" in *-E*) exec {shutil.which("gcc")} "$@";; esac; exit 1'
    )
    assert run_layer(tmp_path, PATH=path) == ("c", [])
    assert library.stat().st_mtime_ns == modified


def test_without_gcc_bptt_runs(tmp_path: Path, run_layer: RunLayer) -> None:
    assert run_layer(tmp_path, PATH=str(tmp_path)) == ("bptt", [])


def test_a_failing_gcc_gives_one_warning_with_its_message(
    tmp_path: Path, run_layer: RunLayer
) -> None:
    path = path_with_gcc(tmp_path / "bin", 'echo "kernels.c: no space left" >&2; exit 1')
    backend, (warning,) = run_layer(tmp_path, PATH=path)
    assert backend == "bptt"
    message = "the C backend is not available: kernels.c: no space left. A slower backend"
    assert message in warning
    assert list((tmp_path / "recurrent-by-hand").glob("*")) == []


def test_a_cache_folder_that_cannot_be_created_gives_a_warning(
    tmp_path: Path, run_layer: RunLayer
) -> None:
    (tmp_path / "file").touch()
    backend, (warning,) = run_layer(tmp_path / "file")
    assert backend == "bptt"
    assert "the C backend is not available" in warning
    assert "Not a directory" in warning


@pytest.mark.parametrize("command", ["echo >&2", "true"])
def test_a_gcc_that_fails_without_a_message_gives_its_exit_status(
    command: str, tmp_path: Path, run_layer: RunLayer
) -> None:
    path = path_with_gcc(tmp_path / "bin", f"{command}; exit 1")
    backend, (warning,) = run_layer(tmp_path, PATH=path)
    assert backend == "bptt"
    assert "the C backend is not available: Command " in warning
    assert "returned non-zero exit status 1" in warning


def test_a_cache_folder_that_others_can_write_to_is_not_used(
    tmp_path: Path, run_layer: RunLayer
) -> None:
    """Code is loaded from that folder."""
    folder = tmp_path / "recurrent-by-hand"
    folder.mkdir()
    folder.chmod(0o777)
    backend, (warning,) = run_layer(tmp_path)
    assert backend == "bptt"
    assert f"other users can write to {folder}: remove it, or set XDG_CACHE_HOME" in warning
    assert list(folder.iterdir()) == []


WARNING = "the C backend is not available: "


def compiling(script: str) -> str:
    """A script for gcc that reports the macros as gcc does, and runs ``script`` to compile.

    The script finds the path of the library in $out.
    """
    gcc = shutil.which("gcc")
    return f"""
case "$*" in *-E*) exec {gcc} "$@";; esac
for argument in "$@"; do [ "$previous" = -o ] && out=$argument; previous=$argument; done
gcc={gcc}
{script}"""


def damage(library: Path, how: str) -> None:
    content = library.read_bytes()
    library.unlink()
    middle = len(content) // 2
    if how == "folder":
        library.mkdir()
    elif how == "link":
        library.symlink_to("missing")
    elif how == "pipe":
        os.mkfifo(library)
    else:
        damaged = {
            "truncated": content[:middle],
            "one byte less": content[:-1],
            "one byte more": content + b"\0",
            "zeros inside": content[:4096] + bytes(8192) + content[4096 + 8192 :],
            "one bit": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            "empty": b"",
            "garbage": b"garbage" * 1000,
        }
        library.write_bytes(damaged[how])


DAMAGES = (
    "truncated",
    "one byte less",
    "one byte more",
    "zeros inside",
    "one bit",
    "empty",
    "garbage",
    "link",
    "pipe",
)

LOAD_EACH = """
import os, sys, torch
from scratch_cells.backends import c_compiler
c_compiler.OPTIONS += ("-O0",)
for folder in sys.argv[1:]:
    os.environ["XDG_CACHE_HOME"] = folder
    library, reason = c_compiler.load_library.__wrapped__(torch.float32)
    print(os.path.basename(folder), "is not loaded" if library is None else "is loaded", flush=True)
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a complete library, in a cache folder."""
    cache = tmp_path_factory.mktemp("compiled")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(cache))
        patched.setattr(c_compiler, "OPTIONS", (*c_compiler.OPTIONS, "-O0"))
        assert load_library.__wrapped__(torch.float32)[0] is not None
    (path,) = (cache / "recurrent-by-hand").iterdir()
    return path


def damaged_copy(compiled: Path, how: str, cache: Path) -> Path:
    """A cache folder's library, which is damaged."""
    path = cache / compiled.parent.name / compiled.name
    path.parent.mkdir(mode=0o700, parents=True)
    shutil.copy(compiled, path)
    damage(path, how)
    return path


@pytest.fixture(scope="module")
def loaded(compiled: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], str]:
    """A cache folder for each of DAMAGES; stdout and stderr of a process that loads from each.

    Its gcc compiles the first time, and copies the result the other times, which is faster.
    """
    folder = tmp_path_factory.mktemp("damaged")
    for how in DAMAGES:
        damaged_copy(compiled, how, folder / how)
    copy = folder / "kernels.so"
    script = f'[ -e {copy} ] || $gcc "$@" -o {copy} || exit 1; cp {copy} "$out"'
    path = path_with_gcc(folder / "bin", compiling(script))
    done = subprocess.run(
        [sys.executable, "-c", LOAD_EACH, *(str(folder / how) for how in DAMAGES)],
        env={**os.environ, "PATH": path},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return folder, done.stdout.splitlines(), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_library_is_compiled_again(
    how: str, compiled: Path, loaded: tuple[Path, list[str], str]
) -> None:
    """Loading it would end the process, by SIGBUS or SIGSEGV."""
    folder, printed, error = loaded
    assert f"{how} is loaded" in printed, f"the last one: {printed[-1:]}"
    assert error == ""
    (path,) = (folder / how / "recurrent-by-hand").iterdir()
    assert path.name == compiled.name
    assert path.read_bytes() == compiled.read_bytes()


def test_a_folder_in_place_of_the_library_gives_a_warning(
    compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unoptimized: None
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    damaged_copy(compiled, "folder", tmp_path)
    with pytest.warns(UserWarning, match=f"{WARNING}.*Is a directory"):
        assert load_library.__wrapped__(torch.float32)[0] is None


def test_the_library_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unoptimized: None
) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "fsync", lambda file: [order.append("fsync"), fsync(file)])
    monkeypatch.setattr(Path, "replace", lambda *a: [order.append("replace"), replace(*a)])
    assert load_library.__wrapped__(torch.float64)[0] is not None
    assert order == ["fsync", "replace"]


@pytest.mark.parametrize("hangs", ["at once", "while it compiles"])
def test_a_gcc_that_hangs_is_ended_with_what_it_started(
    hangs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "pid"
    script = f"sleep 1000 & echo $! > {pid}; wait"
    script = script if hangs == "at once" else compiling(script)
    monkeypatch.setenv("PATH", path_with_gcc(tmp_path / "bin", script))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(c_compiler, "MAX_GCC_SECONDS", 1)
    with pytest.warns(UserWarning, match=f"{WARNING}.*/gcc did not end within 1 s"):
        assert load_library.__wrapped__(torch.float32)[0] is None
    status = Path(f"/proc/{pid.read_text().strip()}/stat")
    end = time.monotonic() + 30
    while has_not_ended(status) and time.monotonic() < end:  # a signal takes effect a little later
        time.sleep(0.01)
    assert not has_not_ended(status)


def has_not_ended(status: Path) -> bool:
    """Whether the process of a file /proc/PID/stat is there, and not only waits for its parent."""
    try:
        return status.read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (r'printf "f\351lure\n" >&2; exit 1', "f\ufffdlure"),
        (r'printf "\377\376"; exit 1', "returned non-zero exit status 1"),
        ("kill -9 $$", "died with <Signals.SIGKILL: 9>"),
        (compiling('echo "" | $gcc -shared -x c - -o $out'), "no function rnn_tanh_forward"),
        (compiling("echo > $out"), "file too short"),
        (compiling("exit 0"), "No such file or directory"),
        (compiling('$gcc "$@" && $gcc -shared -x c /dev/null -o $out'), "no function"),
    ],
)
def test_whatever_gcc_does_gives_one_line(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unoptimized: None
) -> None:
    """And a slower backend runs."""
    monkeypatch.setenv("PATH", path_with_gcc(tmp_path / "bin", script))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.warns(UserWarning, match=WARNING) as warned:
        library, reason = load_library.__wrapped__(torch.float32)
    (warning,) = warned
    assert library is None
    assert message in reason
    assert "\n" not in str(warning.message)


@pytest.mark.parametrize("relative", ["cache", ".", "./a", "~"])
def test_a_relative_cache_folder_is_ignored(
    relative: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unoptimized: None
) -> None:
    """According to the XDG standard: code would be loaded from the current folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CACHE_HOME", relative)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_library.__wrapped__(torch.float32)[0] is not None
    assert list((tmp_path / "here").iterdir()) == []
    assert len(list((tmp_path / ".cache" / "recurrent-by-hand").iterdir())) == 1


def test_a_relative_home_folder_gives_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "somewhere")
    with pytest.warns(UserWarning, match=f"{WARNING}the home folder somewhere is not absolute"):
        assert load_library.__wrapped__(torch.float32)[0] is None
    assert list(tmp_path.iterdir()) == []


SMALL_STACK = """
import threading, torch, scratch_cells
def run(kind):
    layer = getattr(scratch_cells, kind)(64, 64, dtype=torch.float64)
    x = torch.randn(50, 40, 64, dtype=torch.float64)
    assert layer.backend_for(x).name == "c"
    layer(x)[0].sum().backward()
threading.stack_size(64 * 1024)
for threads in 1, 2:
    torch.set_num_threads(threads)
    for kind in ("RNN", "GRU", "LSTM"):
        run(kind)
        thread = threading.Thread(target=run, args=(kind,))
        thread.start()
        thread.join()
    print("threads", torch.get_num_threads(), flush=True)
"""


@pytest.fixture(scope="module")
def small_stack() -> tuple[list[str], str]:
    """stdout and stderr of a process whose OpenMP threads have a stack of 48 KiB."""
    done = subprocess.run(
        [sys.executable, "-c", SMALL_STACK],
        cwd=ROOT,
        env={**os.environ, "OMP_STACKSIZE": "48K", "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines(), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_a_small_stack_is_enough(threads: int, small_stack: tuple[list[str], str]) -> None:
    printed, error = small_stack
    assert f"threads {threads}" in printed, error


@pytest.mark.skipif(os.getuid() != 0, reason="only root can change the owner of a folder")
def test_a_cache_folder_of_another_user_is_not_used(tmp_path: Path, run_layer: RunLayer) -> None:
    folder = tmp_path / "recurrent-by-hand"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    backend, (warning,) = run_layer(tmp_path)
    assert backend == "bptt"
    assert f"other users can write to {folder}" in warning


def test_a_user_without_a_home_folder_gets_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.warns(UserWarning, match="not available: Could not determine home directory"):
        assert load_library.__wrapped__(torch.float32)[0] is None


def test_another_openmp_runtime_gives_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """If torch does not use GCC's OpenMP runtime, loading the kernels would add a second one."""
    load = ctypes.CDLL

    def without_gomp(name: str, **options: Any) -> ctypes.CDLL:
        if "gomp" in name:
            raise OSError(f"{name}: cannot open shared object file")
        return load(name, **options)

    monkeypatch.setattr(ctypes, "CDLL", without_gomp)
    with pytest.warns(UserWarning, match="not available: libgomp.so.1: cannot open"):
        assert load_library.__wrapped__(torch.float32)[0] is None


def test_a_processor_without_avx2_runs_bptt(tmp_path: Path, run_layer: RunLayer) -> None:
    gcc = shutil.which("gcc")
    path = path_with_gcc(tmp_path / "bin", f'exec {gcc} $(echo "$*" | sed s/-march=native//)')
    assert run_layer(tmp_path, PATH=path) == ("bptt", [])


@pytest.mark.skipif(shutil.which("clang") is None, reason="not installed: clang")
def test_clang_under_the_name_of_gcc_runs_bptt(tmp_path: Path, run_layer: RunLayer) -> None:
    """Its OpenMP runtime would run in the same process as torch's."""
    clang = shutil.which("clang")
    path = path_with_gcc(tmp_path / "bin", f'exec {clang} "$@"')
    assert run_layer(tmp_path, PATH=path) == ("bptt", [])
    assert "gcc is clang" in load_library(torch.float32)[1]
    assert not list(tmp_path.glob("*/*.so"))


@pytest.mark.parametrize(
    ("system", "machine"),
    [("darwin", "arm64"), ("win32", "AMD64"), ("linux", "riscv64"), ("linux", "i686")],
)
def test_on_other_systems_bptt_runs(
    system: str, machine: str, tmp_path: Path, run_layer: RunLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert run_layer(tmp_path) == ("bptt", [])
    assert "needs Linux on an x86-64 or 64-bit ARM" in load_library(torch.float32)[1]


@pytest.mark.parametrize(
    ("machine", "command", "problem"),
    [
        ("x86_64", ["gcc", "-march=native"], ""),
        ("x86_64", ["gcc", "-march=haswell"], ""),
        ("x86_64", ["gcc", "-march=x86-64"], "needs a processor with AVX2 and FMA"),
        ("aarch64", ["aarch64-linux-gnu-gcc"], ""),
        ("aarch64", ["aarch64-linux-gnu-gcc", "-march=armv8-a+nosimd"], "with ARM_NEON"),
        ("x86_64", ["clang", "-march=native"], "gcc is clang"),
    ],
)
def test_what_a_compiler_defines_decides(
    machine: str, command: list[str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"not installed: {command[0]}")
    macros = subprocess.run(
        [*command, "-dM", "-E", "-x", "c", os.devnull], capture_output=True, text=True, check=True
    ).stdout
    monkeypatch.setattr(platform, "machine", lambda: machine)
    found = compiler_problem(macros)
    assert problem in found if problem else not found


@pytest.mark.slow
@pytest.mark.parametrize(
    "macros", [(), ("-DDOUBLE",), ("-mno-avx512f",), ("-DDOUBLE", "-mno-avx512f"), ("-DBFLOAT16",)]
)
def test_the_compiler_gives_no_warnings(macros: tuple[str, ...], tmp_path: Path) -> None:
    if "-DBFLOAT16" in macros and load_library(torch.bfloat16)[0] is None:
        pytest.skip("the processor has no products of bfloat16")
    options = (*c_compiler.OPTIONS, *macros, "-Wall", "-Wextra", "-Wpedantic")
    command = ["gcc", *options, str(SOURCE), "-o", str(tmp_path / "kernels.so")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def sanitizer(name: str) -> str:
    """The path of a sanitizer's library, or the name alone if GCC has none."""
    command = ["gcc", f"-print-file-name=lib{name}.so"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
def test_no_access_is_out_of_bounds_and_no_behaviour_undefined(tmp_path: Path) -> None:
    """The property tests of the C backend again, with GCC's address and undefined sanitizers."""
    asan, ubsan = sanitizer("asan"), sanitizer("ubsan")
    if not os.path.isabs(asan) or not os.path.isabs(ubsan):
        pytest.skip("gcc has no sanitizers")
    program = (
        "import sys, pytest\n"
        "from scratch_cells.backends import c_compiler\n"
        "c_compiler.OPTIONS += ('-fsanitize=address,undefined', '-O0')\n"
        "c_compiler.OPTIONS += ('-fno-sanitize-recover=all',)\n"
        "c_compiler.MAX_GCC_SECONDS *= 5\n"
        "sys.exit(pytest.main(['-s', '-p', 'no:cacheprovider', '-k', 'not bptt', *sys.argv[1:]]))"
    )
    folder = "tests/scratch_cells/backends"
    tests = [
        f"{folder}/test_c_backend.py::test_every_size_and_thread_count_equals_the_reference_loop",
        f"{folder}/test_c_backend.py::test_sigmoid_is_accurate_to_four_units_in_the_last_place",
        f"{folder}/test_c_call.py::test_weights_in_place_give_what_panels_give",
        f"{folder}/test_packed.py::test_packed_sequences_equal_the_reference_loop",
        f"{folder}/test_unusual_calls.py::test_unusual_calls_do_what_the_reference_loop_does",
        f"{folder}/test_half_precision.py::test_every_size_and_thread_count_equals_the_loop",
    ]
    done = subprocess.run(
        [sys.executable, "-c", program, *tests],
        cwd=ROOT,
        env={
            **os.environ,
            "XDG_CACHE_HOME": str(tmp_path),
            # libstdc++ too: otherwise a C++ exception during the import of Triton aborts.
            "LD_PRELOAD": f"{asan} {ubsan} libstdc++.so.6",
            "ASAN_OPTIONS": "detect_leaks=0",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert "runtime error" not in done.stderr


@pytest.mark.parametrize(
    ("file", "first", "second"),
    [
        ("arguments.h", "h_before, *h_after", "h_after, *h_before"),
        ("arguments.h", "int64_t T, B", "int64_t B, T"),
        ("calls.h", "*b_ih, *b_hh", "*b_hh, *b_ih"),
    ],
)
def test_swapped_fields_of_the_c_structure_are_detected(
    file: str,
    first: str,
    second: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    unoptimized: None,
) -> None:
    folder = tmp_path / "c_kernels"
    shutil.copytree(SOURCE.parent, folder)
    header = folder / file
    source = header.read_text("utf-8")
    before, after = re.compile(f"{re.escape(first)}([,;])"), f"{second}\\1"
    assert len(before.findall(source)) == 1
    header.write_text(before.sub(after, source), "utf-8")
    monkeypatch.setattr(c_compiler, "SOURCE", folder / SOURCE.name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.warns(UserWarning, match="Args in c_kernels/ differs"):
        library, reason = load_library.__wrapped__(torch.float32)
    assert library is None
    assert "differs from the one in c_compiler.py" in reason


def test_swapped_fields_of_the_python_structure_are_detected() -> None:
    library, _ = load_library(torch.float32)
    check_structure(library, "sequence_args_fields", SequenceArgs)
    fields = list(SequenceArgs._fields_)
    fields[0], fields[1] = fields[1], fields[0]
    swapped = type("SequenceArgs", (ctypes.Structure,), {"_fields_": tuple(fields)})
    with pytest.raises(RuntimeError, match=r"SequenceArgs in c_kernels/ differs"):
        check_structure(library, "sequence_args_fields", swapped)
