"""A training run on disk: its checkpoints, metrics and final model.

runs/NAME/
  config.json                      the configuration, with every default filled in
  checkpoint.safetensors           the latest checkpoint; deleted when the run is finished
  checkpoint-previous.safetensors  the checkpoint before it
  metrics.csv                      one line per epoch
  metrics.json                     the same, the loss of every step, seconds, versions
  events.out.tfevents...           the same, gradient norms and gate saturation, for TensorBoard
  model.safetensors                finished run: the classifier's state_dict, with torch.nn's names
  curve.png  confusion.png  mistakes.png   finished run: plots
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from command_line.errors import (
    ConfigError,
    LostProcessError,
    OutputError,
    Stopped,
    is_lost_connection,
    type_and_message,
)
from command_line.files import atomic_write, write_errors_as_config_errors
from training_loop.config import ResolvedConfig
from training_loop.model import count_parameters
from training_loop.reports import plots
from training_loop.reports.saturation import saturation
from training_loop.reports.tensorboard import TensorBoardWriter
from training_loop.runs import checkpoint, final_weights
from training_loop.runs.folder import MODEL
from training_loop.runs.saved_config import config_warning, require_same_run
from training_loop.runtime.signals import StoppedAtOnce
from training_loop.tasks.task import Task
from training_loop.trainer import DivergedError, StepMetrics, Trainer

CONFIG, METRICS = "config.json", "metrics.json"
SATURATION_SEQUENCES = 100
"""Number of test sequences on which gate saturation is measured after each epoch."""


def own_file(path: Path) -> Path:
    """A path in a run's folder, which must not be a link: it would be followed out of the folder.

    Raises:
        ConfigError: it is a link.
    """
    if path.is_symlink():
        raise ConfigError(f"{path} is a link: a run writes only files in its folder; remove it")
    return path


class Run:
    """Writes a run's folder during training. Only the main process writes.

    Args:
        folder: the run's folder, as returned by ``open_folder``.
        trainer: the state to save. If the run is resumed, it is set to that of the latest
            checkpoint.
        resumed: True to continue the run in ``folder``.
    """

    def __init__(self, folder: Path, trainer: Trainer, resumed: bool) -> None:
        self.folder = folder
        self.trainer = trainer
        self.warning = ""
        """One line for the user if the latest checkpoint or config.json is damaged, else empty."""
        self.is_main_process = trainer.accelerator.is_main_process
        self.saved_step = trainer.step
        if resumed:
            latest, damaged = checkpoint.read_latest(folder)
            self.warning = "; ".join(filter(None, (damaged, config_warning(folder))))
            require_same_run(trainer.config, latest)
            checkpoint.restore(latest, trainer)
            self.saved_step = latest.step
        if self.is_main_process:
            self._write(CONFIG, trainer.config.to_json().encode())
            with self._write_errors():
                self.tensorboard = TensorBoardWriter(folder, trainer.step)
        if not resumed:
            self.save()  # the initial checkpoint

    @property
    def config(self) -> ResolvedConfig:
        """Configuration of the run."""
        return self.trainer.config

    def save(self) -> None:
        """Write a checkpoint, between two steps. All processes take part.

        Raises:
            ConfigError: it cannot be written. The previous checkpoint is kept.
            DivergedError: the run has diverged. The previous checkpoint is kept.
        """
        captured = checkpoint.capture(self.trainer)
        if self.is_main_process:
            for name in (checkpoint.CURRENT, checkpoint.PREVIOUS):
                own_file(self.folder / name)
            with self._write_errors():
                checkpoint.write(captured, self.folder)
        self.saved_step = captured.step

    def log(self, metrics: StepMetrics) -> None:
        """Write the metrics of a step to TensorBoard."""
        if not self.is_main_process:
            return
        norms = {f"gradient norm/{name}": norm for name, norm in metrics.gradient_norms.items()}
        scalars = {
            "training/loss": metrics.loss,
            "training/learning rate": metrics.learning_rate,
            "training/sequences per second": metrics.sequences_per_second,
        }
        with self._write_errors():
            self.tensorboard.add(scalars | norms, metrics.step)

    def log_epoch(self, test_sequences: Tensor) -> None:
        """Write the results of the latest epoch, including gate saturation.

        Args:
            test_sequences: (n, time, features), on which saturation is measured.
        """
        if not self.is_main_process:
            return
        epoch = self.trainer.epochs[-1]
        layer = self.trainer.plain_model.layer
        assert isinstance(layer, nn.Module)
        shares = saturation(layer, test_sequences)
        scalars = {
            f"{self.config.split}/accuracy": epoch.accuracy,
            f"{self.config.split}/loss": epoch.test_loss,
            "training/loss of the epoch": epoch.training_loss,
        } | {f"saturation/{name}": share for name, share in shares.items()}
        with self._write_errors():
            self.tensorboard.add(scalars, self.trainer.step)
            self.tensorboard.flush()
        self._write_metrics()

    def finish(self, task: Task, outputs: Tensor) -> None:
        """Write the final weights, draw the plots, and delete the checkpoints.

        The checkpoints are deleted last, when everything else is on the disk. Until then the run
        can be resumed; it then tests again.

        Args:
            task: what the run has learned.
            outputs: (n, ...), for its test set after the last epoch.
        """
        if not self.is_main_process:
            return
        weights = self.trainer.plain_model.state_dict()
        self._write(MODEL, final_weights.content_of(checkpoint.to_cpu(weights), self.config))
        self._write_metrics()
        title = f"{self.config.reader} on {self.config.subject}"
        accuracies = [epoch.accuracy for epoch in self.trainer.epochs]
        curve = (title, self.trainer.step_losses, accuracies, self.config.split)
        self._draw("curve.png", plots.draw_curve, *curve, self.config.loss_unit)
        for name, draw in task.plots(outputs.cpu()).items():
            self._draw(name, draw)
        with self._write_errors():
            self.tensorboard.sync()
            for name in (checkpoint.PREVIOUS, checkpoint.CURRENT):
                (self.folder / name).unlink(missing_ok=True)

    @contextmanager
    def checkpoint_on_interrupt(self) -> Iterator[None]:
        """If a signal stops the run, write a checkpoint; add to every error how to resume.

        A checkpoint is written between two steps only. After a second signal, which stops the run
        at any line, the latest one is kept: half a step would replace it.

        Raises:
            Stopped: re-raised with what was saved.
            DivergedError, ConfigError, OutputError: re-raised with the latest checkpoint.
            LostProcessError: another process of the run has ended.
        """
        resume = f"resume with {self._command('--resume')}"
        try:
            with self._saved_between_steps():
                yield
        except StoppedAtOnce as stopped:
            raise Stopped(stopped.signal, self._on_disk()) from None
        except Stopped as stopped:
            raise Stopped(stopped.signal, f"saved after step {self.saved_step}, {resume}") from None
        except DivergedError as error:
            raise DivergedError(f"{error}; {self._latest()}") from error
        except OutputError as error:
            raise OutputError(f"{error}; {self._on_disk()}") from error
        except ConfigError as error:
            if not checkpoint.exists(self.folder):
                raise ConfigError(f"{error}; {self.folder} has no checkpoint any more") from error
            raise ConfigError(f"{error}; {self._latest()}, {resume}") from error
        except RuntimeError as error:
            if not is_lost_connection(error):
                raise
            raise LostProcessError(f"{self._latest()}, {resume}") from error
        finally:
            if self.is_main_process:
                with suppress(OSError):  # events that are not flushed yet are lost
                    self.tensorboard.close()

    @contextmanager
    def _saved_between_steps(self) -> Iterator[None]:
        try:
            yield
        except StoppedAtOnce:
            raise
        except Stopped:
            # After the last epoch its checkpoint from before the test is kept, not replaced: to
            # write its results, a resumed run has to test again.
            if self.trainer.epoch <= self.config.epochs:
                self.save()
            raise

    def _on_disk(self) -> str:
        """What the folder contains, whatever line the run was stopped at."""
        try:
            latest, _ = checkpoint.read_latest(self.folder)
        except checkpoint.CheckpointError as error:
            if not (self.folder / MODEL).exists():
                return str(error)
            return f"the run is finished; evaluate it with {self._command('--evaluate')}"
        return f"latest checkpoint: step {latest.step}, resume with {self._command('--resume')}"

    def _command(self, option: str) -> str:
        return self.config.command(option, self.folder)

    def _latest(self) -> str:
        return f"latest checkpoint: step {self.saved_step}"

    def _write_metrics(self) -> None:
        trainer, split = self.trainer, self.config.split
        rows = []
        for epoch in trainer.epochs:
            row = {"epoch" if name == "number" else name: x for name, x in asdict(epoch).items()}
            row[f"{split}_loss"] = row.pop("test_loss")
            row[f"{split}_accuracy"] = row.pop("accuracy")
            rows.append(row)
        metrics = {
            "subject": self.config.subject,
            f"{split}_accuracy": trainer.epochs[-1].accuracy,
            "seconds": trainer.seconds,
            "processes": trainer.accelerator.num_processes,
            "parameters": count_parameters(trainer.plain_model),
            "torch": torch.__version__,
            "epochs": rows,
            "step_losses": trainer.step_losses,
        }
        self._write(METRICS, (json.dumps(metrics, indent=2) + "\n").encode())
        table = io.StringIO()
        writer = csv.DictWriter(table, rows[0])
        writer.writeheader()
        writer.writerows(rows)
        self._write("metrics.csv", table.getvalue().encode())

    def _write_errors(self) -> AbstractContextManager[None]:
        return write_errors_as_config_errors("run_dir", self.folder)

    def _write(self, name: str, content: bytes) -> None:
        with self._write_errors(), atomic_write(own_file(self.folder / name)) as file:
            file.write(content)

    def _draw(self, name: str, draw: Callable[..., None], *arguments: object) -> None:
        """Draw a plot. If it cannot be drawn, the results, which are written, are not affected."""
        content = io.BytesIO()
        try:
            draw(content, *arguments)
        except Exception as error:  # fonts and settings of the user's matplotlib
            print(f"{name} cannot be drawn: {type_and_message(error)}", flush=True)
        else:
            self._write(name, content.getvalue())
