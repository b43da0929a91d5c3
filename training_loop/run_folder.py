"""A run's folder: what it is resumed from, and what it leaves behind.

runs/NAME/
  config.json                    every option, as the run settled it
  checkpoint.safetensors         the run as it stood last, until it is finished
  checkpoint-before.safetensors  the run as it stood before that
  metrics.csv                    a line an epoch
  metrics.json                   the same, every step's loss, seconds, versions
  events.out.tfevents...         the same and more, for TensorBoard
  model.safetensors              finished: the classifier's state_dict, under torch.nn's names
  curve.png  confusion.png  mistakes.png   finished: pictures of how it went
"""

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryFile

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.utils import broadcast_object_list  # type: ignore[import-untyped]
from filelock import FileLock, Timeout
from safetensors.torch import save
from torch import Tensor, nn

from sequenced_mnist import Batches, ImageSets
from training_loop import checkpoint, pictures
from training_loop.board import Board
from training_loop.config import ConfigError, SettledConfig
from training_loop.interruptions import LostProcessError, Stopped, is_lost_connection
from training_loop.model import count_parameters
from training_loop.saturation import saturation
from training_loop.training import DivergedError, Look, Training

RUNS = Path("runs")
CONFIG, METRICS, WEIGHTS = "config.json", "metrics.json", "model.safetensors"
LOCK = ".lock"
PROBED = 100
"""Tested images on which the gates are looked at after every epoch."""


@contextmanager
def new_folder(asked: Path | None, name: str) -> Iterator[Path]:
    """Make a run's folder, and keep other runs out of it.

    A run that breaks off and has left nothing in the folder takes it away again.

    Args:
        asked: the folder, new or empty; None for a new one in ``runs/``.
        name: what a folder in ``runs/`` is called, after the time.

    Raises:
        ConfigError: the folder holds files already, cannot be made, or cannot be written into.
    """
    with _refusing(asked or RUNS):
        folder = _take(asked) if asked else _make_new(name)
        with TemporaryFile(dir=folder):
            pass  # it can be written into: better known now than after the training
    try:
        with _kept_for_this_run(folder):
            yield folder
    except BaseException:
        if not _files_in(folder):
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()
        raise


@contextmanager
def unfinished_folder(folder: Path) -> Iterator[Path]:
    """The folder of a run that broke off, kept from other runs while it is resumed.

    Raises:
        ConfigError: there is no such folder, it is in use, or its run is finished.
    """
    if not folder.is_dir():
        raise ConfigError(f"resume is {folder}: there is no such folder; expected a run's")
    with _kept_for_this_run(folder):
        if (folder / WEIGHTS).exists():
            raise ConfigError(
                f"resume is {folder}: the run is finished; expected one that broke off, "
                f"evaluate it with --evaluate {folder}"
            )
        yield folder


@contextmanager
def open_folder(
    config: SettledConfig, name: str, resume: bool, accelerator: Accelerator
) -> Iterator[Path]:
    """A run's folder, new or resumed, opened by the first process; the others are told its name.

    Raises:
        ConfigError: as :func:`new_folder` and :func:`unfinished_folder` have it.
    """
    with ExitStack() as stack:
        told: list[Path | None] = [None]
        if accelerator.is_main_process:
            if resume:
                assert config.run_dir is not None
                told[0] = stack.enter_context(unfinished_folder(config.run_dir))
            else:
                told[0] = stack.enter_context(new_folder(config.run_dir, name))
        (folder,) = broadcast_object_list(told)
        yield folder


class Run:
    """What is written into a run's folder while it trains; in all processes but the first, nothing.

    Args:
        folder: the run's, open.
        training: what is saved.
        resumed: whether it goes on from the folder's latest checkpoint.
    """

    def __init__(self, folder: Path, training: Training, resumed: bool) -> None:
        self.folder = folder
        self.training = training
        self.note = ""
        """One line for the user where the last checkpoint could not be used."""
        self.writes = training.accelerator.is_main_process
        self.saved_step = training.step
        if resumed:
            latest, self.note = checkpoint.read_latest(folder)
            checkpoint.put_back(latest, training)
            self.saved_step = latest.step
        elif self.writes:
            self._write(CONFIG, training.config.to_json().encode())
        if self.writes:
            with _refusing(folder):
                self.board = Board(folder, training.step)
        if not resumed:
            self.save()  # from here on there is something to go back to

    @property
    def config(self) -> SettledConfig:
        """What the run was asked to do."""
        return self.training.config

    def save(self) -> None:
        """Write a checkpoint of the run as it stands, between two steps. All processes take part.

        Raises:
            ConfigError: it cannot be written; the one before is still there.
            DivergedError: the run has diverged; the one before is still there.
        """
        taken = checkpoint.take(self.training)
        if self.writes:
            with _refusing(self.folder):
                checkpoint.write(taken, self.folder)
        self.saved_step = taken.step

    def log(self, look: Look) -> None:
        """Hand the figures of the last steps to TensorBoard."""
        if not self.writes:
            return
        norms = {f"gradient norm/{name}": norm for name, norm in look.gradient_norms.items()}
        figures = {
            "training/loss": look.loss,
            "training/learning rate": look.learning_rate,
            "training/images per second": look.images_per_second,
        }
        with _refusing(self.folder):
            self.board.add(figures | norms, look.step)

    def log_epoch(self, tested: Batches) -> None:
        """Hand on the figures of the epoch just over, gates at their ends among them."""
        if not self.writes:
            return
        epoch = self.training.epochs[-1]
        probe = next(iter(Batches(tested.images, tested.labels, tested.sequence, PROBED)))
        layer = self.training.plain_model.layer
        assert isinstance(layer, nn.Module)
        shares = saturation(layer, probe.sequences)
        figures = {
            f"{self.config.tested_on}/accuracy": epoch.accuracy,
            "training/loss of the epoch": epoch.training_loss,
        } | {f"saturation/{name}": share for name, share in shares.items()}
        with _refusing(self.folder):
            self.board.add(figures, self.training.step)
            self.board.flush()
        self._write_metrics()

    def finish(self, images: ImageSets, scores: Tensor) -> None:
        """Draw the pictures, write the weights, and give up the checkpoints.

        Args:
            images: what was tested on.
            scores: (n, classes) logits of the tested images, after the last epoch.
        """
        if not self.writes:
            return
        scores, labels, names = scores.cpu(), images.test_labels, images.class_names
        title = f"{self.config.layer} on {self.config.dataset}, by {self.config.sequence}"
        accuracies = [epoch.accuracy for epoch in self.training.epochs]
        losses, tested = self.training.step_losses, self.config.tested_on
        self._draw("curve.png", pictures.draw_curve, title, losses, accuracies, tested)
        self._draw("confusion.png", pictures.draw_confusion, scores, labels, names)
        worst = (images.test_images, scores, labels, names)
        self._draw("mistakes.png", pictures.draw_mistakes, *worst)
        self._write_metrics()
        weights = self.training.plain_model.state_dict()
        # Copies: safetensors takes no two tensors that share storage.
        copies = {name: w.to("cpu", copy=True).contiguous() for name, w in weights.items()}
        self._write(WEIGHTS, save(copies))
        for name in (checkpoint.CURRENT, checkpoint.BEFORE):
            (self.folder / name).unlink(missing_ok=True)

    @contextmanager
    def kept_when_it_breaks_off(self) -> Iterator[None]:
        """Write a checkpoint if a signal stops the run; whatever stops it, say how to go on.

        Raises:
            Stopped: as it came, with the remedy.
            LostProcessError: another process of the run has ended before its time.
        """
        go_on = f"go on with --resume {self.folder}"
        try:
            yield
        except Stopped as stopped:
            self.save()
            raise Stopped(stopped.signal, f"saved after step {self.saved_step}, {go_on}") from None
        except DivergedError as error:
            raise DivergedError(f"{error}; the checkpoint {self._stands()}") from error
        except ConfigError as error:
            raise ConfigError(f"{error}; the checkpoint {self._stands()}, {go_on}") from error
        except RuntimeError as error:
            if not is_lost_connection(error):
                raise
            raise LostProcessError(f"the checkpoint {self._stands()}, {go_on}") from error
        finally:
            if self.writes:
                with suppress(OSError):  # what it holds back is lost, the run is not
                    self.board.close()

    def _stands(self) -> str:
        return f"after step {self.saved_step} stands"

    def _write_metrics(self) -> None:
        training, tested = self.training, self.config.tested_on
        rows = []
        for epoch in training.epochs:
            row = {"epoch" if name == "number" else name: x for name, x in asdict(epoch).items()}
            row[f"{tested}_accuracy"] = row.pop("accuracy")
            rows.append(row)
        metrics = {
            "dataset": self.config.dataset,
            f"{tested}_accuracy": training.epochs[-1].accuracy,
            "seconds": training.seconds,
            "processes": training.accelerator.num_processes,
            "parameters": count_parameters(training.plain_model),
            "torch": torch.__version__,
            "epochs": rows,
            "step_losses": training.step_losses,
        }
        self._write(METRICS, (json.dumps(metrics, indent=2) + "\n").encode())
        table = io.StringIO()
        writer = csv.DictWriter(table, rows[0])
        writer.writeheader()
        writer.writerows(rows)
        self._write("metrics.csv", table.getvalue().encode())

    def _write(self, name: str, content: bytes) -> None:
        with replacing(self.folder / name) as path:
            path.write_bytes(content)

    def _draw(self, name: str, draw: Callable[..., None], *arguments: object) -> None:
        with replacing(self.folder / name) as path:
            draw(path, *arguments)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``, renamed to it once it is written.

    Raises:
        ConfigError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    with _refusing(path.parent):
        try:
            yield part
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def _refusing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"run_dir is {folder}: cannot write there ({error.strerror or error})"
        ) from error


@contextmanager
def _kept_for_this_run(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system lets go when the process ends, however it ends."""
    lock = FileLock(folder / LOCK, blocking=False)
    with _refusing(folder):
        try:
            lock.acquire()
        except Timeout:
            raise ConfigError(
                f"run_dir is {folder}: another run is at work in it; name a new folder, or wait"
            ) from None
    try:
        yield
    finally:
        lock.release()


def _files_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != LOCK]


def _take(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / checkpoint.CURRENT).exists():
        with _kept_for_this_run(folder):
            pass  # nobody is at work in it
        raise ConfigError(
            f"run_dir is {folder}: it holds a run that broke off; "
            f"name a new folder, or go on with --resume {folder}"
        )
    if _files_in(folder):
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
