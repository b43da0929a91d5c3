"""A run in one file, from which it goes on to the bit.

The file is safetensors, which holds tensors and text and no code. Its tensors:

    model/NAME             every entry of the model's state_dict, so under torch.nn's names
    optimizer/NAME/PART    what the optimizer keeps of the weight NAME: exp_avg, exp_avg_sq, step
    generator/DEVICE/N     torch's random generator, of process N
    step_losses            of every step taken

and its text, as JSON: the configuration, the epochs that are over, the state of the schedule and of
fp16's loss scaling, the optimizer's settings; beside it a digest of all of it. Everything goes by
torch.nn's names, so what ``scratch`` saved ``builtin`` takes up, and the other way round.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from command_line.errors import ConfigError, one_line
from command_line.files import atomic_write
from training_loop.trainer import Epoch, Training

FORMAT = "recurrent-by-hand checkpoint 1"
CURRENT, BEFORE = "checkpoint.safetensors", "checkpoint-before.safetensors"


class CheckpointError(ConfigError):
    """A checkpoint that is missing, damaged, or not one."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds: see the top of this module."""

    tensors: dict[str, Tensor]
    text: dict[str, Any]

    @property
    def step(self) -> int:
        """Steps that had been taken."""
        return len(self.tensors["step_losses"])

    def below(self, prefix: str) -> dict[str, Tensor]:
        """The tensors of one kind, by what follows the prefix."""
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }


def take(training: Training) -> Checkpoint:
    """A checkpoint of the run as it stands, between two steps. All processes take part.

    Raises:
        DivergedError: a loss, a gradient or a weight is not finite; such a state is never saved
            over a good one.
    """
    training.look()
    training.check_weights()
    tensors = {f"model/{n}": t for n, t in training.plain_model.state_dict().items()}
    optimizer = training.optimizer.state_dict()
    names = _names_by_index(training)
    for index, kept in optimizer["state"].items():
        tensors |= {f"optimizer/{names[index]}/{part}": tensor for part, tensor in kept.items()}
    tensors |= _generators(training)
    tensors["step_losses"] = torch.tensor(training.step_losses, dtype=torch.float64)
    (settings,) = optimizer["param_groups"]
    scaler = training.accelerator.scaler
    text = {
        "config": json.loads(training.config.to_json()),
        "epochs": [asdict(epoch) for epoch in training.epochs],
        "seconds": training.seconds,
        "pass_seconds": training.pass_seconds,
        "schedule": training.schedule.state_dict(),
        "optimizer": {name: value for name, value in settings.items() if name != "params"},
        "scaler": scaler.state_dict() if scaler else {},
    }
    return Checkpoint(copied(tensors), text)


def put_back(checkpoint: Checkpoint, training: Training) -> None:
    """Make ``training`` what it was when the checkpoint was taken.

    Raises:
        CheckpointError: its weights are not those of this model.
    """
    try:
        training.plain_model.load_state_dict(checkpoint.below("model/"))
        index_of = {name: index for index, name in _names_by_index(training).items()}
        state: dict[int, dict[str, Tensor]] = {}
        for path, tensor in checkpoint.below("optimizer/").items():
            name, _, part = path.rpartition("/")
            state.setdefault(index_of[name], {})[part] = tensor
    except (RuntimeError, KeyError) as error:
        raise CheckpointError(f"the checkpoint is of another model: {one_line(error)}") from error
    settings = dict(checkpoint.text["optimizer"], params=list(index_of.values()))
    settings["betas"] = tuple(settings["betas"])
    training.optimizer.load_state_dict({"state": state, "param_groups": [settings]})
    training.schedule.load_state_dict(checkpoint.text["schedule"])
    if scaler := training.accelerator.scaler:
        scaler.load_state_dict(checkpoint.text["scaler"])
    _set_generators(checkpoint, training)
    training.step = checkpoint.step
    training.step_losses = checkpoint.tensors["step_losses"].tolist()
    training.epochs = [Epoch(**epoch) for epoch in checkpoint.text["epochs"]]
    training.seconds_before = checkpoint.text["seconds"]
    training.pass_seconds_before = checkpoint.text["pass_seconds"]


def copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU: safetensors takes no two tensors that share storage, nor any with gaps."""
    return {name: t.to("cpu", copy=True).contiguous() for name, t in tensors.items()}


def write(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a checkpoint into a run's folder; the one before it stays until the next.

    Raises:
        OSError: it cannot be written; those that are there are still.
    """
    text = json.dumps(checkpoint.text)
    metadata = {"format": FORMAT, "run": text, "digest": _digest(checkpoint.tensors, text)}
    with atomic_write(folder / CURRENT, previous=folder / BEFORE) as file:
        file.write(save(checkpoint.tensors, metadata))


def read_latest(folder: Path) -> tuple[Checkpoint, str]:
    """The latest checkpoint of a run's folder that is whole, and a line if that is not the last.

    Raises:
        CheckpointError: there is none.
    """
    complaints: list[str] = []
    for file in (folder / CURRENT, folder / BEFORE):
        if file.is_file():
            try:
                return read(file), "; ".join(complaints)
            except CheckpointError as error:
                complaints.append(f"{error}: going on from the one before")
    if complaints:
        raise CheckpointError(f"{complaints[0].partition(': going')[0]}: start the run anew")
    raise CheckpointError(f"{folder} holds no checkpoint: expected a run's folder, unfinished")


def read(file: Path) -> Checkpoint:
    """Read and check one file. Nothing in it is executed.

    Raises:
        CheckpointError: it is damaged, or no checkpoint of this project.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError) as error:  # RuntimeError: it is not there
        raise CheckpointError(
            f"{file} is damaged or no safetensors file ({one_line(error)})"
        ) from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{file} is no checkpoint of train.py")
    if metadata["digest"] != _digest(tensors, metadata["run"]):
        raise CheckpointError(f"{file} is damaged: it does not hold what was written")
    return Checkpoint(tensors, json.loads(metadata["run"]))


def _names_by_index(training: Training) -> dict[int, str]:
    """Where a weight stands in the optimizer -> its name. Implementations differ in the order."""
    name_of = {id(weight): name for name, weight in training.weights.items()}
    (group,) = training.optimizer.param_groups
    return {index: name_of[id(weight)] for index, weight in enumerate(group["params"])}


def _generators(training: Training) -> dict[str, Tensor]:
    """The random generators of every process, gathered."""
    accelerator = training.accelerator
    kinds = {"cpu": torch.get_rng_state()}
    if accelerator.device.type in ("cuda", "mps"):
        kinds[accelerator.device.type] = _device_module(accelerator.device.type).get_rng_state()
    gathered = {
        kind: accelerator.gather(state.unsqueeze(0).to(accelerator.device))
        for kind, state in kinds.items()
    }
    return {
        f"generator/{kind}/{process}": state
        for kind, states in gathered.items()
        for process, state in enumerate(states)
    }


def _set_generators(checkpoint: Checkpoint, training: Training) -> None:
    """This process's generators; where it had none, another device say, they stay as seeded."""
    process = training.accelerator.process_index
    for path, state in checkpoint.below("generator/").items():
        kind, _, number = path.partition("/")
        if int(number) == process and kind == "cpu":
            torch.set_rng_state(state)
        elif int(number) == process and kind == training.accelerator.device.type:
            _device_module(kind).set_rng_state(state)


def _device_module(kind: str) -> Any:
    return {"cuda": torch.cuda, "mps": torch.mps}[kind]


def _digest(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
