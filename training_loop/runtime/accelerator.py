"""Where a run computes: one Accelerator, on the device and in the precision asked for."""

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]

from command_line.errors import ConfigError, one_line

MIXED_PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def start_accelerator(device: str, precision: str = "fp32") -> Accelerator:
    """An Accelerator on ``device``: ``cpu``, ``cuda``, ``mps``, or ``auto`` for its own choice.

    Started by torchrun, it joins the other processes of the run.

    Args:
        device: where to compute.
        precision: ``fp32``; or ``bf16`` or ``fp16``, under autocast with weights in fp32.

    Raises:
        ConfigError: there is no such device here, or it does not compute in that precision.
    """
    is_there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not is_there.get(device, True):
        raise ConfigError(f"device is {device}: torch finds none here; expected auto or cpu")
    on_cpu = device == "cpu" or (device == "auto" and not any(is_there.values()))
    if precision == "fp16" and on_cpu:
        raise ConfigError("precision is fp16: a CPU does not train in it; expected fp32 or bf16")
    try:
        accelerator = Accelerator(cpu=on_cpu, mixed_precision=MIXED_PRECISION[precision])
    except ValueError as error:  # another precision in the same process; bf16 on an old GPU
        raise ConfigError(f"precision is {precision}: {one_line(error)}") from error
    # Accelerate has settings of its own, in the environment and in a file; the option rules.
    if device not in ("auto", accelerator.device.type):
        raise ConfigError(
            f"device is {device}: accelerate is set to {accelerator.device.type}; "
            "change its settings or expect auto"
        )
    return accelerator


def describe(accelerator: Accelerator) -> str:
    """The device as a user would name it, the number of processes and the precision."""
    device = accelerator.device
    name = device.type
    if device.type == "cuda":
        name = f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        name = f"cpu ({torch.get_num_threads()} threads)"
    if accelerator.num_processes > 1:
        name = f"{accelerator.num_processes} processes, each {name}"
    return name if accelerator.mixed_precision == "no" else f"{name}, {accelerator.mixed_precision}"
