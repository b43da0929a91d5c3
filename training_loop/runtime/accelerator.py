"""The device, precision and processes of a run: one Accelerator."""

import torch
from accelerate import Accelerator

from command_line.errors import ConfigError, one_line

MIXED_PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def start_accelerator(device: str, precision: str = "fp32") -> Accelerator:
    """Create the Accelerator of a run. Under torchrun, it joins the other processes.

    Args:
        device: ``cpu``, ``cuda``, ``mps``, or ``auto`` to let accelerate choose.
        precision: ``fp32``, or ``bf16`` or ``fp16`` for mixed precision: autocast, with weights in
            fp32.

    Raises:
        ConfigError: the device is not available, or does not support the precision.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(device, True):
        raise ConfigError(f"device is {device}: torch finds none here; expected auto or cpu")
    on_cpu = device == "cpu" or (device == "auto" and not any(available.values()))
    if precision == "fp16" and on_cpu:
        raise ConfigError("precision is fp16: it is not supported on a CPU; expected fp32 or bf16")
    try:
        accelerator = Accelerator(cpu=on_cpu, mixed_precision=MIXED_PRECISION[precision])
    except ValueError as error:  # bf16 on an old GPU; another precision earlier in this process
        raise ConfigError(f"precision is {precision}: {one_line(error)}") from error
    # accelerate also reads the environment and a file; the command-line option takes precedence.
    if device not in ("auto", accelerator.device.type):
        raise ConfigError(
            f"device is {device}: accelerate is configured for {accelerator.device.type}; "
            "change accelerate's configuration, or use auto"
        )
    return accelerator


def describe(accelerator: Accelerator) -> str:
    """Device, number of processes and precision, for the user."""
    device = accelerator.device
    name = device.type
    if device.type == "cuda":
        name = f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        name = f"cpu ({torch.get_num_threads()} threads)"
    if accelerator.num_processes > 1:
        name = f"{accelerator.num_processes} processes, each {name}"
    return name if accelerator.mixed_precision == "no" else f"{name}, {accelerator.mixed_precision}"
