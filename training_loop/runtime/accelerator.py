"""The device, precision and processes of a run: one Accelerator."""

import os
import socket
import time
from datetime import timedelta

import torch
from accelerate import Accelerator, PartialState

from command_line.errors import ConfigError, one_line

MIXED_PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}

JOIN_SECONDS = 60.0
"""How long a process waits for the start of the others. torch waits for half an hour."""


def start_accelerator(device: str, precision: str = "fp32") -> Accelerator:
    """Create the Accelerator of a run. Under torchrun, it joins the other processes.

    Args:
        device: ``cpu``, ``cuda``, ``mps``, or ``auto`` to let accelerate choose.
        precision: ``fp32``, or ``bf16`` or ``fp16`` for mixed precision: autocast, with weights in
            fp32.

    Raises:
        ConfigError: the device is not available, or does not support the precision; or another
            process of the run has not been started, or has ended at its start.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(device, True):
        raise ConfigError(f"device is {device}: torch finds none here; expected auto or cpu")
    on_cpu = device == "cpu" or (device == "auto" and not any(available.values()))
    if precision == "fp16" and on_cpu:
        raise ConfigError("precision is fp16: it is not supported on a CPU; expected fp32 or bf16")
    _join_processes(on_cpu)
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


def _join_processes(on_cpu: bool) -> None:
    """Join the other processes of a run, if environment variables describe several.

    A process that has a wrong option ends before it joins. The others do not wait for it for long.

    Raises:
        ConfigError: not all of them have joined within JOIN_SECONDS.
    """
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    rank, size, address, port = (os.environ.get(name, "") for name in names)
    if not (rank and address and port) or size in ("", "0", "1"):
        return  # one process; or another launcher, which accelerate handles
    # Imported here: it takes time, and it is not on every platform.
    from torch.distributed import DistError
    from torch.distributed.constants import default_pg_timeout
    from torch.distributed.rendezvous import rendezvous

    try:
        if rank != "0":
            _wait_for_server(address, int(port))
        meeting = rendezvous("env://", timeout=timedelta(seconds=JOIN_SECONDS))
        store, *rank_and_size = next(meeting)
    except (DistError, OSError, ValueError) as error:
        raise ConfigError(
            f"process {rank} of {size} cannot join the others at {address}:{port} within "
            f"{JOIN_SECONDS:g} s: see their errors, and start all of them with the same options "
            f"({one_line(error).partition(' Exception raised from')[0]})"
        ) from error
    store.set_timeout(default_pg_timeout)
    PartialState(cpu=on_cpu, store=store, rank=rank_and_size[0], world_size=rank_and_size[1])


def _wait_for_server(address: str, port: int) -> None:
    """Wait until process 0 can be reached. torch would print each failure, with C++ frames.

    Raises:
        OSError: it cannot be reached within JOIN_SECONDS.
    """
    end = time.monotonic() + JOIN_SECONDS
    while True:
        try:
            socket.create_connection((address, port), timeout=JOIN_SECONDS).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


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
