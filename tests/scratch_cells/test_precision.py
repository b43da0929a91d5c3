"""--precision and --compile, each in a separate process, because both are process-wide settings."""

from pathlib import Path

import pytest

from tests.helpers.runs import metrics, run, weights

OPTIONS = ("--dataset", "digits", "--epochs", 6, "--hidden-size", 32, "--device", "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["scratch", "builtin"])
def test_bf16_trains_with_weights_in_fp32(implementation: str, tmp_path: Path) -> None:
    arguments = ("--precision", "bf16", "--implementation", implementation, "--run-dir", "run")
    done = run(*OPTIONS, *arguments, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[2].endswith(", bf16")
    assert metrics(tmp_path / "run")["test_accuracy"] > 0.75
    assert {str(weight.dtype) for weight in weights(tmp_path / "run").values()} == {"torch.float32"}


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
    for name, flag in (("eager", ()), ("compiled", ("--compile",))):
        done = run(*options, *flag, "--run-dir", name, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    eager, compiled = (metrics(tmp_path / name)["step_losses"] for name in ("eager", "compiled"))
    assert compiled == pytest.approx(eager, rel=1e-4)
    assert weights(tmp_path / "compiled").keys() == weights(tmp_path / "eager").keys()
