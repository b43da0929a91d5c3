"""A run under way: what it is resumed from, and what it leaves behind.

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from command_line.errors import ConfigError, LostProcessError, Stopped, is_lost_connection
from command_line.files import atomic_write
from sequenced_mnist import Batches, ImageSets
from training_loop.config import SettledConfig
from training_loop.model import count_parameters
from training_loop.reports import plots as pictures
from training_loop.reports.saturation import saturation
from training_loop.reports.tensorboard import Board
from training_loop.runs import checkpoint
from training_loop.runs.folder import WEIGHTS, refusing
from training_loop.trainer import DivergedError, Look, Training

CONFIG, METRICS = "config.json", "metrics.json"
PROBED = 100
"""Tested images on which the gates are looked at after every epoch."""


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
            with refusing(folder):
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
            with refusing(self.folder):
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
        with refusing(self.folder):
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
        with refusing(self.folder):
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
        self._write(WEIGHTS, save(checkpoint.copied(weights)))
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
        with refusing(self.folder), atomic_write(self.folder / name) as file:
            file.write(content)

    def _draw(self, name: str, draw: Callable[..., None], *arguments: object) -> None:
        with refusing(self.folder), atomic_write(self.folder / name) as file:
            draw(file, *arguments)
