"""training_loop/run_folder.py: a folder of its own for every run, and whole files in it."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from training_loop import run_folder as run_folder_module
from training_loop.config import Config, ConfigError
from training_loop.loop import Epoch, TrainedEpoch
from training_loop.run_folder import new_run_folder, write_run

HISTORY = [
    Epoch(1, TrainedEpoch([3.0, 2.0], 2.5, 100.0), test_accuracy=0.5),
    Epoch(2, TrainedEpoch([1.0, 0.5], 0.75, 200.0), test_accuracy=0.75),
]
FILES = ["config.json", "curve.png", "metrics.json", "model.safetensors"]


class Tied(nn.Module):
    """Two entries of the state_dict in one storage, and one that is not contiguous."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.turned = nn.Parameter(torch.arange(6.0).view(2, 3).T)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_default_folder_is_a_new_one_each_time() -> None:
    folders = []
    for _ in range(3):  # within the same second, most likely
        with new_run_folder(None, "digits-rows-my/cell.py:Mine") as folder:
            (folder / "file").write_text("")
        folders.append(folder)
    assert len(set(folders)) == 3
    for folder in folders:
        assert folder.parent == Path("runs")
        assert re.fullmatch(r"\d{8}-\d{6}-digits-rows-my-cell-py-Mine(-\d)?", folder.name)


@pytest.mark.parametrize("exists", [False, True])
def test_a_new_or_empty_folder_can_be_named(exists: bool) -> None:
    asked = Path("some/where")
    if exists:
        asked.mkdir(parents=True)
    with new_run_folder(asked, "unused") as folder:
        assert folder == asked
        assert names_in(asked) == []


def test_a_folder_with_files_is_refused_and_left_alone() -> None:
    asked = Path("earlier")
    asked.mkdir()
    (asked / "model.safetensors").write_text("precious")
    with pytest.raises(ConfigError, match="run_dir is earlier: it holds files already"):
        new_run_folder(asked, "unused").__enter__()
    assert (asked / "model.safetensors").read_text() == "precious"


@pytest.mark.parametrize("asked", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_refused(asked: str) -> None:
    Path("file").write_text("")
    with pytest.raises(ConfigError, match=f"run_dir is {asked}: cannot write there"):
        new_run_folder(Path(asked), "unused").__enter__()


def test_a_file_in_place_of_runs_is_refused() -> None:
    Path("runs").write_text("")
    with pytest.raises(ConfigError, match="run_dir is runs: cannot write there"):
        new_run_folder(None, "digits").__enter__()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_run_that_breaks_off_takes_its_empty_folder_away(error: type[BaseException]) -> None:
    with pytest.raises(error), new_run_folder(Path("run"), "unused"):
        raise error
    assert not Path("run").exists()


def test_what_a_broken_run_has_written_stays() -> None:
    def break_off(folder: Path) -> None:
        (folder / "file").write_text("")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), new_run_folder(Path("run"), "unused") as folder:
        break_off(folder)
    assert names_in(Path("run")) == ["file"]


def test_a_finished_run_is_written_whole() -> None:
    model = Tied()
    model.second.bias.requires_grad_(False)
    config = Config(dataset="digits", epochs=2, run_dir=Path("run"))
    with new_run_folder(config.run_dir, "unused") as folder:
        write_run(folder, config, model, HISTORY, seconds=1.5)
    assert names_in(folder) == FILES

    weights = load_file(folder / "model.safetensors")
    assert list(weights) == sorted(model.state_dict())
    again = Tied()
    again.load_state_dict(weights)
    assert all(map(torch.equal, again.state_dict().values(), model.state_dict().values()))

    written = json.loads((folder / "config.json").read_text())
    assert written == {
        "cell": "lstm",
        "implementation": "scratch",
        "dataset": "digits",
        "sequence": "rows",
        "hidden_size": 128,
        "num_layers": 2,
        "bidirectional": False,
        "dropout": 0.0,
        "epochs": 2,
        "batch_size": None,
        "learning_rate": None,
        "seed": 0,
        "device": "auto",
        "data_dir": "data",
        "run_dir": "run",
    }
    assert json.loads((folder / "metrics.json").read_text()) == {
        "dataset": "digits",
        "test_accuracy": 0.75,
        "seconds": 1.5,
        "parameters": 9 + 3 + 6,
        "torch": str(torch.__version__),
        "epochs": [
            {"epoch": 1, "training_loss": 2.5, "test_accuracy": 0.5, "images_per_second": 100.0},
            {"epoch": 2, "training_loss": 0.75, "test_accuracy": 0.75, "images_per_second": 200.0},
        ],
        "step_losses": [3.0, 2.0, 1.0, 0.5],
    }


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(28, "No space left on device"), ConfigError), (KeyboardInterrupt(), BaseException)],
)
def test_a_file_that_cannot_be_finished_is_not_there(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, raised: type[BaseException]
) -> None:
    def half_written(_weights: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(run_folder_module, "save_file", half_written)
    with pytest.raises(raised) as caught, new_run_folder(Path("run"), "unused") as folder:
        write_run(folder, Config(), nn.Linear(1, 1), HISTORY, seconds=1.0)
    if raised is ConfigError:
        assert str(caught.value) == "run_dir is run: cannot write there (No space left on device)"
    assert not Path("run").exists()
