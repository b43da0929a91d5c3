"""Compiling, caching and loading the C kernels, in processes of their own."""

import ctypes
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from scratch_cells.backends import c_compiler
from scratch_cells.backends.c_compiler import SOURCE, check_sequence_args, load_library
from tests.helpers.backends import needs_c
from tests.helpers.paths import ROOT

pytestmark = needs_c

PROGRAM = """
import torch, scratch_cells
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


def run_layer(cache: Path, **environment: str) -> tuple[str, str]:
    """stdout and stderr of a process that runs a layer."""
    process = start_process(cache, **environment)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out.strip(), err


def path_with_gcc(folder: Path, script: str) -> str:
    """A PATH on which gcc is a shell script."""
    folder.mkdir()
    gcc = folder / "gcc"
    gcc.write_text(f"#!/bin/sh\n{script}\n")
    gcc.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


@pytest.mark.slow
def test_processes_share_one_cached_library(tmp_path: Path) -> None:
    """Processes that start at the same time each load a complete library."""
    processes = [start_process(tmp_path) for _ in range(4)]
    for process in processes:
        out, err = process.communicate()
        assert (process.returncode, out, err) == (0, "c\n", "")
    folder = tmp_path / "recurrent-by-hand"
    (library,) = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modified = library.stat().st_mtime_ns
    path = path_with_gcc(
        tmp_path / "bin", f'case "$*" in *-E*) exec {shutil.which("gcc")} "$@";; esac; exit 1'
    )
    assert run_layer(tmp_path, PATH=path) == ("c", "")
    assert library.stat().st_mtime_ns == modified


def test_without_gcc_bptt_runs(tmp_path: Path) -> None:
    assert run_layer(tmp_path, PATH=str(tmp_path)) == ("bptt", "")


def test_a_failing_gcc_gives_one_warning_with_its_message(tmp_path: Path) -> None:
    path = path_with_gcc(tmp_path / "bin", 'echo "c_kernels.c: no space left" >&2; exit 1')
    out, err = run_layer(tmp_path, PATH=path)
    assert out == "bptt"
    message = "the C backend is not available: c_kernels.c: no space left. A slower backend"
    assert err.count(message) == 1
    assert list((tmp_path / "recurrent-by-hand").glob("*")) == []


def test_a_cache_folder_that_cannot_be_created_gives_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    out, err = run_layer(tmp_path / "file")
    assert out == "bptt"
    assert "the C backend is not available" in err
    assert "Not a directory" in err


@pytest.mark.parametrize("command", ["echo >&2", "true"])
def test_a_gcc_that_fails_without_a_message_gives_its_exit_status(
    command: str, tmp_path: Path
) -> None:
    out, err = run_layer(tmp_path, PATH=path_with_gcc(tmp_path / "bin", f"{command}; exit 1"))
    assert out == "bptt"
    assert "the C backend is not available: Command " in err
    assert "returned non-zero exit status 1" in err


def test_a_cache_folder_that_others_can_write_to_is_not_used(tmp_path: Path) -> None:
    """Code is loaded from that folder."""
    folder = tmp_path / "recurrent-by-hand"
    folder.mkdir()
    folder.chmod(0o777)
    out, err = run_layer(tmp_path)
    assert out == "bptt"
    assert f"other users can write to {folder}: remove it, or set XDG_CACHE_HOME" in err
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can change the owner of a folder")
def test_a_cache_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "recurrent-by-hand"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    out, err = run_layer(tmp_path)
    assert out == "bptt"
    assert f"other users can write to {folder}" in err


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


def test_a_processor_without_avx2_runs_bptt(tmp_path: Path) -> None:
    gcc = shutil.which("gcc")
    path = path_with_gcc(tmp_path / "bin", f'exec {gcc} $(echo "$*" | sed s/-march=native//)')
    assert run_layer(tmp_path, PATH=path) == ("bptt", "")


@pytest.mark.parametrize("double", [(), ("-DDOUBLE",)])
@pytest.mark.parametrize("narrow", [(), ("-mno-avx512f",)])
def test_the_compiler_gives_no_warnings(double: Any, narrow: Any, tmp_path: Path) -> None:
    options = (*c_compiler.OPTIONS, *double, *narrow, "-Wall", "-Wextra", "-Wpedantic")
    command = ["gcc", *options, str(SOURCE), "-o", str(tmp_path / "kernels.so")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_no_access_is_out_of_bounds(tmp_path: Path) -> None:
    """The property tests of the C backend again, with GCC's address sanitizer."""
    asan = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not os.path.isabs(asan):
        pytest.skip("gcc has no address sanitizer")
    program = (
        "import sys, pytest\n"
        "from scratch_cells.backends import c_compiler\n"
        "c_compiler.OPTIONS += ('-fsanitize=address', '-g')\n"
        "sys.exit(pytest.main(['-s', '-p', 'no:cacheprovider', *sys.argv[1:]]))"
    )
    tests = [
        "tests/scratch_cells/backends/test_c_backend.py::test_every_size_and_thread_count_equals_the_reference_loop",
        "tests/scratch_cells/backends/test_c_backend.py::test_sigmoid_is_accurate_to_four_units_in_the_last_place",
    ]
    done = subprocess.run(
        [sys.executable, "-c", program, *tests],
        cwd=ROOT,
        env={
            **os.environ,
            "XDG_CACHE_HOME": str(tmp_path),
            # libstdc++ too: otherwise a C++ exception during the import of Triton aborts.
            "LD_PRELOAD": f"{asan} libstdc++.so.6",
            "ASAN_OPTIONS": "detect_leaks=0",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


@pytest.mark.parametrize(
    ("first", "second"),
    [("h_before, *h_after", "h_after, *h_before"), ("int64_t T, B", "int64_t B, T")],
)
def test_swapped_fields_of_the_c_structure_are_detected(
    first: str, second: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SOURCE.read_text("utf-8")
    assert source.count(f"{first},") == 1
    changed = tmp_path / "c_kernels.c"
    changed.write_text(source.replace(f"{first},", f"{second},"), "utf-8")
    monkeypatch.setattr(c_compiler, "SOURCE", changed)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.warns(UserWarning, match="SequenceArgs in c_kernels.c differs"):
        library, reason = load_library.__wrapped__(torch.float32)
    assert library is None
    assert "SequenceArgs" in reason


def test_swapped_fields_of_the_python_structure_are_detected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library, _ = load_library(torch.float32)
    check_sequence_args(library)
    fields = list(c_compiler.SequenceArgs._fields_)
    fields[0], fields[1] = fields[1], fields[0]
    swapped = type("SequenceArgs", (ctypes.Structure,), {"_fields_": tuple(fields)})
    monkeypatch.setattr(c_compiler, "SequenceArgs", swapped)
    with pytest.raises(RuntimeError, match=r"SequenceArgs in c_kernels\.c differs"):
        check_sequence_args(library)
