"""training_loop/commands/evaluate.py: the accuracy of a run's model."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from command_line.errors import ConfigError
from tests.helpers.runs import interrupt, metrics, run, run_here, saved, small
from train import train
from training_loop.commands.evaluate import evaluate
from training_loop.config import Config

pytestmark = pytest.mark.usefixtures("blank_plots")


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


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of another person, unfinished, whose file writes a mark when it is executed."""
    folder = tmp_path_factory.mktemp("a foreign folder")
    (folder / "evil.py").write_text(
        "from pathlib import Path\n"
        "from scratch_cells import LSTM\n"
        "Path(__file__).with_name('executed').touch()\n"
    )
    with pytest.MonkeyPatch.context() as patched:
        interrupt(small(folder, implementation=f"{folder}/evil.py:LSTM"), patched, 9)
    (folder / "executed").unlink()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--evaluate", "--resume"])
@pytest.mark.parametrize("module", ["", "some.module:Layer"])
def test_code_that_only_the_folder_names_is_not_executed(
    option: str, module: str, foreign: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(foreign / "run", tmp_path / "run"))
    target = f"{foreign}/evil.py:LSTM"
    if module:
        for file in folder.glob("checkpoint*"):
            file.unlink()
        text = (folder / "config.json").read_text()
        (folder / "config.json").write_text(text.replace(target, module))
        target = module
    done = run_here(option, folder, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"train.py: error: {folder} was trained with {target}, which would be executed: "
        f"if you trust it, add --implementation {shlex.quote(target)}\n"
    )
    assert not (foreign / "executed").exists()


@pytest.mark.parametrize("given", ["--implementation {}", "--implementation={}"])
def test_code_that_the_command_line_names_is_executed(given: str, foreign: Path) -> None:
    words = shlex.split(given.format(shlex.quote(f"{foreign}/evil.py:LSTM")))
    assert 0 <= evaluate(saved(foreign / "run", *words)) <= 1
    (foreign / "executed").unlink()
    assert 0 <= evaluate(saved(foreign / "run", "--implementation", "builtin")) <= 1
    assert not (foreign / "executed").exists()


def test_the_printed_command_names_the_users_layer(tmp_path: Path) -> None:
    config = Config(implementation="my cells.py:Mine")
    assert config.command("--resume", Path("a run")) == (
        "--resume 'a run' --implementation 'my cells.py:Mine'"
    )
    assert Config().command("--evaluate", Path("run")) == "--evaluate run"
