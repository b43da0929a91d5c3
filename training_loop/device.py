"""Where a run computes: one Accelerator on the device that was asked for."""

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]

from training_loop.config import ConfigError


def start_accelerator(device: str) -> Accelerator:
    """An Accelerator on ``device``: ``cpu``, ``cuda``, ``mps``, or ``auto`` for its own choice.

    Raises:
        ConfigError: there is no such device here.
    """
    is_there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not is_there.get(device, True):
        raise ConfigError(f"device is {device}: torch finds none here; expected auto or cpu")
    accelerator = Accelerator(cpu=device == "cpu")
    # Accelerate has settings of its own, in the environment and in a file; the option rules.
    if device not in ("auto", accelerator.device.type):
        raise ConfigError(
            f"device is {device}: accelerate is set to {accelerator.device.type}; "
            "change its settings or expect auto"
        )
    return accelerator


def describe(device: torch.device) -> str:
    """A device as a user would name it: its kind, and the GPU's name or the CPU's threads."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return device.type
