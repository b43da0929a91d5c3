"""--precision and --compile, each in a process of its own: both are settings of the process."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.runs import ENVIRONMENT, TRAIN, metrics, run, run_here, weights

OPTIONS = ("--dataset", "digits", "--epochs", 6, "--hidden-size", 32, "--device", "cpu")


IMPLEMENTATIONS = ("scratch", "builtin")

ONE_AFTER_ANOTHER = """
import runpy, sys
program, *arguments = sys.argv[1:]
for name in "scratch", "builtin":
    sys.argv = [program, *arguments, "--implementation", name, "--run-dir", name]
    runpy.run_path(program, run_name="__main__")
"""


@pytest.fixture(scope="module")
def with_bf16(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with a run of each implementation, and what they print."""
    folder = tmp_path_factory.mktemp("bf16")
    arguments = [str(TRAIN), *map(str, OPTIONS), "--precision", "bf16"]
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_ANOTHER, *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder, [line for line in done.stdout.splitlines() if line.startswith("device")]


@pytest.mark.slow
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_bf16_trains_with_weights_in_fp32(
    implementation: str, with_bf16: tuple[Path, list[str]]
) -> None:
    folder, devices = with_bf16
    assert devices[IMPLEMENTATIONS.index(implementation)].endswith(", bf16")
    assert metrics(folder / implementation)["test_accuracy"] > 0.75
    dtypes = {str(weight.dtype) for weight in weights(folder / implementation).values()}
    assert dtypes == {"torch.float32"}


@pytest.mark.slow
def test_fp16_on_a_cpu_ends_with_an_error(tmp_path: Path) -> None:
    done = run(*OPTIONS, "--precision", "fp16", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "train.py: error: precision is fp16: it is not supported on a CPU; expected fp32 or bf16\n"
    )


@pytest.mark.slow
def test_a_compiled_model_has_the_same_losses(tmp_path: Path) -> None:
    small = ("--dataset", "digits", "--epochs", 1, "--cell", "rnn", "--hidden-size", 8)
    options = (*small, "--num-layers", 1, "--device", "cpu")
    compiling = run(*options, "--compile", "--run-dir", "compiled", folder=tmp_path)
    assert compiling.returncode == 0, compiling.stderr
    run_here(*options, "--run-dir", "eager", folder=tmp_path)
    eager, compiled = (metrics(tmp_path / name)["step_losses"] for name in ("eager", "compiled"))
    assert compiled == pytest.approx(eager, rel=1e-4)
    assert weights(tmp_path / "compiled").keys() == weights(tmp_path / "eager").keys()
