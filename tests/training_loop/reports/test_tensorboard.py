"""training_loop/reports/tensorboard.py: TensorBoard reads the scalars of a run."""

import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers.runs import interrupt, metrics, saved, small, weights
from train import train
from training_loop.reports.tensorboard import TensorBoardWriter

pytestmark = pytest.mark.usefixtures("blank_plots")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(small(tmp_path_factory.mktemp("finished"), cell="gru", epochs=3))


def test_events_are_curves_gradient_norms_and_saturation(finished: Path) -> None:
    board = EventAccumulator(str(finished)).Reload()
    tags = set(board.Tags()["scalars"])
    assert {f"gradient norm/{name}" for name in weights(finished)} < tags
    assert {"training/loss", "training/learning rate", "saturation/layer 1 update/open"} < tags
    history = metrics(finished)
    accuracies = [event.value for event in board.Scalars("test/accuracy")]
    assert accuracies == pytest.approx([epoch["test_accuracy"] for epoch in history["epochs"]])
    losses = board.Scalars("training/loss")
    assert [event.step for event in losses] == [10, 20, 30, 40, 50, 60, 70, 80]
    first = history["step_losses"][:10]
    assert losses[0].value == pytest.approx(sum(first) / 10, rel=1e-5)


def test_a_resumed_run_has_every_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps logged after the checkpoint from which the run resumes are repeated, not doubled."""
    interrupt(small(tmp_path, epochs=2), monkeypatch, 45)
    folder = tmp_path / "run"
    (folder / "checkpoint.safetensors").unlink()  # resume from the previous one, step 29
    train(saved(folder), resume=True)
    board = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    assert [event.step for event in board.Scalars("training/loss")] == [10, 20, 30, 40, 50]


def test_a_later_file_is_read_later_even_if_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    for microseconds in (2_000_000_000_000_000, 1_000_000_000_000_000, 1_000_000_000_000_000):
        monkeypatch.setattr(time, "time_ns", lambda now=microseconds: 1000 * now)
        before = {path.name for path in tmp_path.iterdir()}
        TensorBoardWriter(tmp_path, 0).close()
        names += {path.name for path in tmp_path.iterdir()} - before
    assert names == sorted(names)
    assert len(names) == 3
