"""training_loop/commands/evaluate.py: the accuracy of a run's model."""

import re
from pathlib import Path

import pytest

from command_line.errors import ConfigError
from tests.helpers.runs import interrupt, metrics, run, saved, small
from train import train
from training_loop.commands.evaluate import evaluate
from training_loop.config import Config


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(small(tmp_path_factory.mktemp("finished"), cell="gru", epochs=3))


@pytest.mark.slow
def test_the_command_prints_the_accuracy_of_the_run(finished: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    done = run("--evaluate", finished, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    accuracy = metrics(finished)["test_accuracy"]
    assert done.stdout.splitlines()[-1] == (
        f"result  digits: test accuracy {100 * accuracy:.2f} % "
        f"(scratch gru, rows, final weights of {finished})"
    )
    correct = [int(n) for n in re.findall(r"│ +\d+ +│ +\d+ +│ +(\d+) \(", done.stdout)]
    assert len(correct) == 10
    assert sum(correct) == round(accuracy * 364)
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before


@pytest.mark.parametrize("implementation", ["scratch", "builtin"])
def test_both_implementations_give_the_same_accuracy(finished: Path, implementation: str) -> None:
    config = Config.load(finished)
    config = Config(**(vars(config) | {"implementation": implementation, "run_dir": finished}))
    assert evaluate(config) == metrics(finished)["test_accuracy"]


def test_an_unfinished_run_is_tested_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(small(tmp_path), monkeypatch, 9)
    evaluate(saved(tmp_path / "run"))
    assert f"rows, step 9 of {tmp_path / 'run'})" in capsys.readouterr().out


def test_validation_holds_out_a_twelfth_of_the_training_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train(small(tmp_path, validation=True))
    assert "digits: 1314 training and 119 validation images" in capsys.readouterr().out
    assert evaluate(saved(folder)) == metrics(folder)["validation_accuracy"]
    assert "digits: validation accuracy" in capsys.readouterr().out


def test_weights_of_another_model_are_an_error(finished: Path) -> None:
    config = Config(**(vars(Config.load(finished)) | {"hidden_size": 9, "run_dir": finished}))
    with pytest.raises(ConfigError, match=f"^{finished} has .* another model: .*size mismatch"):
        evaluate(config)
