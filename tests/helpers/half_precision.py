"""The dtypes of 16 bits and autocast, for the tests of the C backend."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch

HALF = (torch.bfloat16, torch.float16)

each_half = pytest.mark.parametrize("half", HALF, ids=["bfloat16", "float16"])
each_mode = pytest.mark.parametrize("autocast", [False, True], ids=["weights", "autocast"])
"""Whether the weights are of 16 bits, or float32 under autocast."""


def autocast_to(dtype: torch.dtype | None) -> Any:
    """Autocast to a dtype on the CPU, or nothing."""
    return nullcontext() if dtype is None else torch.autocast("cpu", dtype)
