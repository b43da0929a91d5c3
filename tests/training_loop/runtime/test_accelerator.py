"""training_loop/runtime/accelerator.py: the requested device, or an error."""

import socket

import pytest
import torch

from command_line.errors import ConfigError
from training_loop.runtime import accelerator
from training_loop.runtime.accelerator import describe, start_accelerator


def test_cpu_is_the_cpu() -> None:
    assert start_accelerator("cpu").device == torch.device("cpu")


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_missing_device_is_an_error(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=f"device is {device}: torch finds none here"):
        start_accelerator(device)


def test_accelerates_configuration_does_not_replace_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ACCELERATE_USE_CPU would otherwise train on the CPU without a message."""
    start_accelerator("cpu")  # sets the state that accelerate shares within a process
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ConfigError, match="device is cuda: accelerate is configured for cpu"):
        start_accelerator("cuda")


def test_fp16_on_a_cpu_is_an_error() -> None:
    with pytest.raises(ConfigError, match="precision is fp16: it is not supported on a CPU"):
        start_accelerator("cpu", "fp16")


def test_the_cpu_is_described_with_its_threads() -> None:
    threads = torch.get_num_threads()
    assert describe(start_accelerator("cpu")) == f"cpu ({threads} threads)"


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_process_does_not_wait_for_long_for_one_that_never_joins(
    rank: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one may have ended because of a wrong option."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    for name, value in {**variables, "MASTER_PORT": str(port), "LOCAL_RANK": rank}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(accelerator, "JOIN_SECONDS", 0.5)
    with pytest.raises(ConfigError) as error:
        start_accelerator("cpu")
    assert str(error.value).startswith(
        f"process {rank} of 2 cannot join the others at 127.0.0.1:{port} within 0.5 s: "
        "see their errors, and start all of them with the same options ("
    )
    assert str(error.value).isprintable()
