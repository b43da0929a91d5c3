"""What a run leaves behind: weights, configuration, metrics, the training curve.

runs/NAME/
  model.safetensors  the classifier's state_dict: the layer under torch.nn's own names, readout
  config.json        every option, as the run settled it
  metrics.json       test accuracy, seconds, each epoch, each step's loss
  curve.png          training loss and test accuracy
"""

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from training_loop.config import Config, ConfigError
from training_loop.loop import Epoch
from training_loop.model import count_parameters
from training_loop.pictures import draw_curve

RUNS = Path("runs")


@contextmanager
def new_run_folder(asked: Path | None, name: str) -> Iterator[Path]:
    """Make a run's folder; take it away again if the run breaks off and has left nothing in it.

    Args:
        asked: the folder, new or empty; None for a new one in ``runs/``.
        name: what a folder in ``runs/`` is called, after the time.

    Raises:
        ConfigError: the folder holds files already, cannot be made, or cannot be written into.
    """
    try:
        folder = _take(asked) if asked else _make_new(name)
        with TemporaryFile(dir=folder):
            pass  # it can be written into: better known now than after the training
    except OSError as error:
        raise _refusal(asked or RUNS, error) from error
    try:
        yield folder
    except BaseException:
        if not any(folder.iterdir()):
            folder.rmdir()
        raise


def write_run(
    folder: Path, config: Config, model: nn.Module, history: Sequence[Epoch], seconds: float
) -> None:
    """Write a finished run's four files, each whole or not at all.

    Args:
        folder: from :func:`new_run_folder`.
        config: as the run settled it.
        model: trained.
        history: every epoch, at least one.
        seconds: that training and testing took.

    Raises:
        ConfigError: the folder can no longer be written into.
    """
    step_losses = list(chain.from_iterable(epoch.trained.step_losses for epoch in history))
    accuracies = [epoch.test_accuracy for epoch in history]
    metrics = {
        "dataset": config.dataset,
        "test_accuracy": accuracies[-1],
        "seconds": seconds,
        "parameters": count_parameters(model),
        "torch": torch.__version__,
        "epochs": [_row(epoch) for epoch in history],
        "step_losses": step_losses,
    }
    with _replacing(folder / "model.safetensors") as path:
        save_file(_weights(model), path)
    with _replacing(folder / "config.json") as path:
        path.write_text(_json(dataclasses.asdict(config)))
    with _replacing(folder / "metrics.json") as path:
        path.write_text(_json(metrics))
    with _replacing(folder / "curve.png") as path:
        draw_curve(path, f"{config.layer} on {config.dataset}", step_losses, accuracies)


def _take(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ConfigError(f"run_dir is {folder}: it holds files already; name a new folder")
    return folder


def _make_new(name: str) -> Path:
    now = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = RUNS / f"{now}-{re.sub(r'[^A-Za-z0-9]+', '-', name)}"
    twins = (folder.with_name(f"{folder.name}-{number}") for number in count(2))
    for candidate in chain([folder], twins):
        with suppress(FileExistsError):  # another run began within the same second
            candidate.mkdir(parents=True)
            break
    return candidate


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``, renamed to it once it is written."""
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        raise _refusal(path.parent, error) from error
    finally:
        part.unlink(missing_ok=True)


def _refusal(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(f"run_dir is {folder}: cannot write there ({error.strerror or error})")


def _weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state_dict on the CPU, copied: safetensors takes no two entries that share storage."""
    return {
        name: weight.to("cpu", copy=True).contiguous()
        for name, weight in model.state_dict().items()
    }


def _row(epoch: Epoch) -> dict[str, float]:
    return {
        "epoch": epoch.number,
        "training_loss": epoch.trained.loss,
        "test_accuracy": epoch.test_accuracy,
        "images_per_second": epoch.trained.images_per_second,
    }


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, default=str) + "\n"  # str: for paths
