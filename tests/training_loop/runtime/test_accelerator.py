"""training_loop/runtime/accelerator.py: the device asked for, or a refusal."""

import pytest
import torch

from command_line.errors import ConfigError
from training_loop.runtime.accelerator import describe, start_accelerator


def test_cpu_is_the_cpu_whatever_else_there_is() -> None:
    assert start_accelerator("cpu").device == torch.device("cpu")


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=f"device is {device}: torch finds none here"):
        start_accelerator(device)


def test_accelerates_own_settings_do_not_replace_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its environment may say CPU; to train there although asked for a GPU would be silent."""
    start_accelerator("cpu")  # the state that Accelerate shares within a process
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ConfigError, match="device is cuda: accelerate is set to cpu"):
        start_accelerator("cuda")


def test_a_cpu_does_not_train_in_half_precision() -> None:
    with pytest.raises(ConfigError, match="precision is fp16: a CPU does not train in it"):
        start_accelerator("cpu", "fp16")


def test_a_device_is_described() -> None:
    threads = torch.get_num_threads()
    assert describe(start_accelerator("cpu")) == f"cpu ({threads} threads)"
