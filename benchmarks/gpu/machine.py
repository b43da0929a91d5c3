"""The machine: versions, the GPU, and the rates that no kernel exceeds."""

import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

REPEATS = 10


def facts(device: torch.device) -> dict[str, Any]:
    """Versions, and what the GPU has."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": _triton_version(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "device": "cpu",
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "device": properties.name,
            "compute capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory, GiB": round(properties.total_memory / 2**30, 1),
            "L2 cache, MiB": round(properties.L2_cache_size / 2**20, 1),
            "shared memory of a program, KiB": properties.shared_memory_per_block_optin // 1024,
            "driver": _driver_version(),
        }
    return found


def _triton_version() -> str | None:
    try:
        import triton  # not on every platform
    except ImportError:
        return None
    return str(triton.__version__)


def _driver_version() -> str | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()


def rates(device: torch.device, small: bool) -> dict[str, float]:
    """Gigabytes a second that a copy reads and writes, and TFLOP/s of large matrix products."""
    elements, size = (2**12, 64) if small else (2**30, 8192)
    source = torch.rand(elements, device=device)
    copied = partial(torch.empty_like(source).copy_, source)
    found = {"copy, GB/s": 2 * source.nbytes / median_seconds(copied, device) / 1e9}
    a, b = (torch.randn(size, size, device=device) for _ in range(2))
    for precision in ("float32", "tf32", "bfloat16"):
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        seconds = median_seconds(partial(torch.mm, a.to(dtype), b.to(dtype)), device)
        found[f"product in {precision}, TFLOP/s"] = 2 * size**3 / seconds / 1e12
    torch.backends.cuda.matmul.allow_tf32 = False
    return found


def median_seconds(call: Callable[[], object], device: torch.device) -> float:
    """The median time of several calls, after two for warming up."""
    seconds = []
    for number in range(REPEATS + 2):
        _wait(device)
        start = time.perf_counter()
        call()
        _wait(device)
        if number > 1:
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
