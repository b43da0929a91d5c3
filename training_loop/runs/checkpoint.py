"""Checkpoints: the whole state of a run in one file, for a bit-exact resume.

The format is safetensors, which contains tensors and text but no code. The tensors:

    model/NAME             every entry of the model's state_dict
    optimizer/NAME/PART    the optimizer's state of the weight NAME: exp_avg, exp_avg_sq, step
    generator/DEVICE/N     state of torch's random generator in process N
    step_losses            loss of every step taken

The metadata is JSON: the configuration (see saved_config.py), the results of the finished epochs,
the state of the schedule and of fp16's loss scaling, and the optimizer's settings. A digest of
tensors and metadata detects damage. All names are torch.nn's, so a checkpoint of ``scratch`` can be
resumed with ``builtin`` and the other way round.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from command_line.errors import ConfigError, one_line, type_and_message
from command_line.files import atomic_write
from training_loop.trainer import Epoch, Trainer

FORMAT = "recurrent-by-hand checkpoint 1"
MOMENTS = {"exp_avg", "exp_avg_sq"}
STATE = MOMENTS | {"step"}
"""What Adam stores for each weight: two tensors of the weight's shape, and a number."""
CURRENT, PREVIOUS = "checkpoint.safetensors", "checkpoint-previous.safetensors"


class CheckpointError(ConfigError):
    """A checkpoint is missing or invalid."""


@dataclass(frozen=True)
class Checkpoint:
    """Content of a checkpoint file, described at the top of this module."""

    tensors: dict[str, Tensor]
    metadata: dict[str, Any]

    @property
    def step(self) -> int:
        """Number of steps taken before the checkpoint."""
        return len(self.tensors["step_losses"])

    def with_prefix(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names start with ``prefix``, by the rest of their names."""
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }


def capture(trainer: Trainer) -> Checkpoint:
    """A checkpoint of the current state, between two steps. All processes take part.

    Raises:
        DivergedError: a loss, a gradient or a weight is not finite. Such a state is never saved,
            because it would replace a good one.
    """
    trainer.read_losses()
    trainer.check_weights()
    tensors = {f"model/{n}": t for n, t in trainer.plain_model.state_dict().items()}
    optimizer = trainer.optimizer.state_dict()
    names = _names_by_index(trainer)
    for index, state in optimizer["state"].items():
        tensors |= {f"optimizer/{names[index]}/{part}": tensor for part, tensor in state.items()}
    tensors |= _generators(trainer)
    tensors["step_losses"] = torch.tensor(trainer.step_losses, dtype=torch.float64)
    (settings,) = optimizer["param_groups"]
    scaler = trainer.accelerator.scaler
    metadata = {
        "config": json.loads(trainer.config.to_json()),
        "epochs": [asdict(epoch) for epoch in trainer.epochs],
        "seconds": trainer.seconds,
        "pass_seconds": trainer.pass_seconds,
        "schedule": trainer.schedule.state_dict(),
        "optimizer": {name: value for name, value in settings.items() if name != "params"},
        "scaler": scaler.state_dict() if scaler else {},
    }
    return Checkpoint(to_cpu(tensors), metadata)


def restore(checkpoint: Checkpoint, trainer: Trainer) -> None:
    """Set ``trainer`` to the state that was captured.

    Raises:
        CheckpointError: the checkpoint is of another model.
    """
    try:
        trainer.plain_model.load_state_dict(checkpoint.with_prefix("model/"))
        _restore_optimizer(checkpoint, trainer)
        _set_generators(checkpoint, trainer)
        trainer.step = checkpoint.step
        trainer.step_losses = checkpoint.tensors["step_losses"].tolist()
        trainer.epochs = [Epoch(**epoch) for epoch in checkpoint.metadata["epochs"]]
        trainer.previous_seconds = float(checkpoint.metadata["seconds"])
        trainer.previous_pass_seconds = float(checkpoint.metadata["pass_seconds"])
        if not 0 <= trainer.step_in_epoch <= trainer.steps_per_epoch:
            raise ValueError(f"{trainer.step} steps in {len(trainer.epochs)} finished epochs")
    except Exception as error:  # the file has a valid digest, but may be of any other version
        raise CheckpointError(
            f"the checkpoint is of another model: {type_and_message(error)}"
        ) from error


def _restore_optimizer(checkpoint: Checkpoint, trainer: Trainer) -> None:
    """Set the optimizer, the schedule and fp16's loss scaling to the state that was captured."""
    index_of = {name: index for index, name in _names_by_index(trainer).items()}
    state: dict[int, dict[str, Tensor]] = {}
    for path, tensor in checkpoint.with_prefix("optimizer/").items():
        name, _, part = path.rpartition("/")
        expected = trainer.weights[name].shape if part in MOMENTS else torch.Size()
        if part not in STATE or tensor.shape != expected:
            raise ValueError(f"{path} has the shape {tuple(tensor.shape)}")
        state.setdefault(index_of[name], {})[part] = tensor
    if incomplete := [parts for parts in state.values() if parts.keys() != STATE]:
        raise ValueError(f"a weight has only {', '.join(incomplete[0])} of its optimizer state")
    settings = dict(checkpoint.metadata["optimizer"], params=list(index_of.values()))
    settings["betas"] = tuple(settings["betas"])
    _require_keys(settings, trainer.optimizer.state_dict()["param_groups"][0])
    trainer.optimizer.load_state_dict({"state": state, "param_groups": [settings]})
    _require_keys(checkpoint.metadata["schedule"], trainer.schedule.state_dict())
    trainer.schedule.load_state_dict(checkpoint.metadata["schedule"])
    if scaler := trainer.accelerator.scaler:
        scaler.load_state_dict(checkpoint.metadata["scaler"])


def _require_keys(found: dict[str, Any], expected: dict[str, Any]) -> None:
    if found.keys() != expected.keys():
        different = sorted(found.keys() ^ expected.keys())
        raise ValueError(f"{', '.join(different)} of the optimizer or schedule missing or unknown")


def to_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies on the CPU, without shared storage, as safetensors requires."""
    return {name: t.to("cpu", copy=True).contiguous() for name, t in tensors.items()}


def write(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a checkpoint into a run's folder, where the previous one is kept as well.

    Raises:
        OSError: it cannot be written. Existing checkpoints are kept.
    """
    text = json.dumps(checkpoint.metadata)
    metadata = {"format": FORMAT, "run": text, "digest": digest_of(checkpoint.tensors, text)}
    with atomic_write(folder / CURRENT, previous=folder / PREVIOUS) as file:
        file.write(save(checkpoint.tensors, metadata))


def exists(folder: Path) -> bool:
    """True if the folder has a checkpoint, valid or not."""
    return any(os.path.isfile(folder / name) for name in (CURRENT, PREVIOUS))


def read_latest(folder: Path) -> tuple[Checkpoint, str]:
    """The newest valid checkpoint of a run's folder, and a warning if the newest is damaged.

    Raises:
        CheckpointError: there is no valid checkpoint.
    """
    errors: list[CheckpointError] = []
    for file in (folder / CURRENT, folder / PREVIOUS):
        if os.path.isfile(file):  # never an error; False for a pipe
            try:
                return read(file), "; ".join(f"{e}: using the previous checkpoint" for e in errors)
            except CheckpointError as error:
                errors.append(error)
    if errors:
        raise CheckpointError(f"{errors[0]}: start a new run")
    raise CheckpointError(f"{folder} has no checkpoint: give the folder of an unfinished run")


def read(file: Path) -> Checkpoint:
    """Read and validate one file. No code in it is executed.

    Raises:
        CheckpointError: the file is damaged, or not a checkpoint of train.py.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            names = opened.keys()  # the file itself cannot be iterated over
            tensors = {name: opened.get_tensor(name) for name in names}
    except (SafetensorError, OSError, RuntimeError) as error:  # RuntimeError: the file is missing
        reason = one_line(error)
        raise CheckpointError(f"{file} is damaged or not a safetensors file ({reason})") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{file} is not a checkpoint of train.py")
    text = metadata.get("run", "")
    if metadata.get("digest") != digest_of(tensors, text):
        raise CheckpointError(f"{file} is damaged: its digest does not match its content")
    content = json.loads(text)
    if not isinstance(content, dict) or not _is_list(tensors.get("step_losses")):
        raise CheckpointError(f"{file} is not a checkpoint of this version of train.py")
    return Checkpoint(tensors, content)


def _is_list(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.dim() == 1 and tensor.is_floating_point()


def _names_by_index(trainer: Trainer) -> dict[int, str]:
    """Index of a weight in the optimizer -> its name. The order depends on the implementation."""
    name_of = {id(weight): name for name, weight in trainer.weights.items()}
    (group,) = trainer.optimizer.param_groups
    return {index: name_of[id(weight)] for index, weight in enumerate(group["params"])}


def _generators(trainer: Trainer) -> dict[str, Tensor]:
    """States of the random generators of all processes."""
    accelerator = trainer.accelerator
    device = accelerator.device.type
    states = {"cpu": torch.get_rng_state()}
    if device in ("cuda", "mps"):
        states[device] = _device_module(device).get_rng_state()
    gathered = {
        kind: accelerator.gather(state.unsqueeze(0).to(accelerator.device))
        for kind, state in states.items()
    }
    return {
        f"generator/{kind}/{process}": state
        for kind, of_each_process in gathered.items()
        for process, state in enumerate(of_each_process)
    }


def _set_generators(checkpoint: Checkpoint, trainer: Trainer) -> None:
    """Restore this process's generators; one that the checkpoint lacks keeps its seed.

    A generator is missing if the run is resumed on another device or with more processes.
    """
    process = trainer.accelerator.process_index
    for path, state in checkpoint.with_prefix("generator/").items():
        kind, _, number = path.partition("/")
        if int(number) == process and kind == "cpu":
            torch.set_rng_state(state)
        elif int(number) == process and kind == trainer.accelerator.device.type:
            _device_module(kind).set_rng_state(state)


def _device_module(kind: str) -> Any:
    return {"cuda": torch.cuda, "mps": torch.mps}[kind]


def digest_of(tensors: dict[str, Tensor], text: str) -> str:
    """SHA-256 of named tensors on the CPU and of a text, in hexadecimal digits."""
    digest = hashlib.sha256(text.encode(errors="surrogatepass"))
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
