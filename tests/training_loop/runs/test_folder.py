"""training_loop/runs/folder.py: each run has a folder of its own, and its files are complete."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from command_line.errors import ConfigError
from command_line.files import atomic_write, write_errors_as_config_errors
from sequenced_mnist import ImageSets
from training_loop.config import Config, ResolvedConfig
from training_loop.runs.folder import new_folder
from training_loop.runs.run import Run
from training_loop.runtime.accelerator import start_accelerator
from training_loop.tasks.images import ImageTask
from training_loop.tasks.objective import Result, classification
from training_loop.tasks.task import Placement
from training_loop.trainer import Trainer

FILES = ["confusion.png", "curve.png", "metrics.csv", "metrics.json", "mistakes.png"]


class Tied(nn.Module):
    """Two entries of its state_dict share storage, and one is not contiguous."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.transposed = nn.Parameter(torch.arange(6.0).view(2, 3).T)
        self.layer = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.second(self.first(x.flatten(1)) @ self.transposed @ self.transposed.T)
        return logits


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_default_folder_is_new() -> None:
    folders = []
    for _ in range(3):  # most likely within the same second
        with new_folder(None, "digits-rows-my/cell.py:Mine") as folder:
            (folder / "file").write_text("")
        folders.append(folder)
    assert len(set(folders)) == 3
    for folder in folders:
        assert folder.parent == Path("runs")
        assert re.fullmatch(r"\d{8}-\d{6}-digits-rows-my-cell-py-Mine(-\d)?", folder.name)


@pytest.mark.parametrize("exists", [False, True])
def test_a_new_or_empty_folder_is_accepted(exists: bool) -> None:
    path = Path("some/where")
    if exists:
        path.mkdir(parents=True)
    with new_folder(path, "unused") as folder:
        assert folder == path
        assert names_in(path) == [".lock"]


def test_a_folder_with_files_is_rejected_and_unchanged() -> None:
    path = Path("earlier")
    path.mkdir()
    (path / "model.safetensors").write_text("precious")
    with pytest.raises(ConfigError, match="run_dir is earlier: it contains files"):
        new_folder(path, "unused").__enter__()
    assert (path / "model.safetensors").read_text() == "precious"


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_a_folder_that_cannot_be_created_is_rejected(path: str) -> None:
    Path("file").write_text("")
    with pytest.raises(ConfigError, match=f"run_dir is {path}: cannot write there"):
        new_folder(Path(path), "unused").__enter__()


def test_a_file_called_runs_is_rejected() -> None:
    Path("runs").write_text("")
    with pytest.raises(ConfigError, match="run_dir is runs: cannot write there"):
        new_folder(None, "digits").__enter__()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_run_that_fails_removes_its_empty_folder(error: type[BaseException]) -> None:
    with pytest.raises(error), new_folder(Path("run"), "unused"):
        raise error
    assert not Path("run").exists()


def test_the_files_of_a_failed_run_are_kept() -> None:
    def fail(folder: Path) -> None:
        (folder / "file").write_text("")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), new_folder(Path("run"), "unused") as folder:
        fail(folder)
    assert names_in(Path("run")) == [".lock", "file"]


def images(count: int = 12) -> ImageSets:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(256, (count, 1, 3), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % 3
    return ImageSets("digits", drawn, labels, drawn, labels, ("a", "b", "c"))


def start(folder: Path, model: nn.Module, **options: Any) -> Run:
    config = Config(epochs=2, batch_size=6, run_dir=folder, **options).resolved("digits", "cpu")
    trainer = Trainer(config, start_accelerator("cpu"), model, 12, classification(3))
    return Run(folder, trainer, resumed=False)


def finish(run: Run) -> None:
    """Train two epochs of two steps, and write everything."""
    task = ImageTask(run.config, images(), Placement())
    for accuracy in (0.5, 0.75):
        with run.trainer.timed_pass():
            for batch in task.train_set:
                run.trainer.take_step(batch)
        run.log(run.trainer.metrics())
        run.trainer.end_epoch(Result(0.25, accuracy))
        run.log_epoch(task.test_set.first(6))
    with run.checkpoint_on_interrupt():
        run.finish(task, torch.eye(3)[task.images.test_labels])


def test_a_finished_run_has_all_its_files() -> None:
    model = Tied()
    model.second.bias.requires_grad_(False)
    with new_folder(Path("run"), "unused") as folder:
        run = start(folder, model)
        assert {"config.json", "checkpoint.safetensors"} < set(names_in(folder))
        finish(run)
    names = [name for name in names_in(folder) if not name.startswith("events.")]
    assert names == sorted([".lock", "config.json", "model.safetensors", *FILES])

    weights = load_file(folder / "model.safetensors")
    assert list(weights) == sorted(model.state_dict())
    again = Tied()
    again.load_state_dict(weights)
    assert all(map(torch.equal, again.state_dict().values(), model.state_dict().values()))

    assert ResolvedConfig.load(folder) == run.config
    written = json.loads((folder / "metrics.json").read_text())
    epochs = run.trainer.epochs
    assert written.pop("seconds") > 0
    assert written == {
        "subject": "digits",
        "test_accuracy": 0.75,
        "processes": 1,
        "parameters": 9 + 3 + 6,
        "torch": str(torch.__version__),
        "epochs": [
            {
                "epoch": number + 1,
                "training_loss": epochs[number].training_loss,
                "sequences_per_second": epochs[number].sequences_per_second,
                "test_loss": 0.25,
                "test_accuracy": accuracy,
            }
            for number, accuracy in enumerate((0.5, 0.75))
        ],
        "step_losses": run.trainer.step_losses,
    }
    assert len(written["step_losses"]) == 4
    with (folder / "metrics.csv").open() as table:
        rows = [
            {name: float(value) for name, value in row.items()} for row in csv.DictReader(table)
        ]
    assert rows == written["epochs"]


def test_metrics_of_a_validation_run_are_called_validation() -> None:
    with new_folder(Path("run"), "unused") as folder:
        finish(start(folder, Tied(), validation=True))
    written = json.loads((folder / "metrics.json").read_text())
    assert written["validation_accuracy"] == 0.75
    assert "test_accuracy" not in written
    assert "validation_accuracy" in (folder / "metrics.csv").read_text()


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(28, "No space left on device"), ConfigError), (KeyboardInterrupt(), BaseException)],
)
def test_a_file_that_cannot_be_written_is_unchanged(
    error: BaseException, raised: type[BaseException]
) -> None:
    target = Path("file")
    target.write_text("whole")

    def write() -> None:
        with write_errors_as_config_errors("run_dir", target.parent), atomic_write(target) as file:
            file.write(b"half")
            raise error

    with pytest.raises(raised) as caught:
        write()
    if raised is ConfigError:
        assert str(caught.value) == "run_dir is .: cannot write there (No space left on device)"
    assert target.read_text() == "whole"
    assert names_in(Path()) == ["file"]
