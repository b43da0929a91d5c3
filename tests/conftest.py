"""Settings of the whole suite: Hypothesis profiles, threads, marks that follow from a test's needs.

Profiles: quick for every run, thorough for thousands of configurations.
"""

import gc
import os
import shutil
from collections.abc import Iterator
from typing import Any
from unittest.mock import create_autospec

import pytest

# The tensors under test are tiny: a second thread only waits, here and in the processes that tests
# start. It must be set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from hypothesis import HealthCheck, settings

COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}

# The quick run draws the same configurations every time, so that it fails for a change and not by
# the luck of a draw; the thorough run looks for new ones.
settings.register_profile("quick", max_examples=60, derandomize=True, **COMMON)
settings.register_profile("thorough", max_examples=2000, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

if not torch.cuda.is_available():
    # Triton's kernels run in its interpreter; it looks when they are imported, at their first use.
    os.environ.setdefault("TRITON_INTERPRET", "1")

torch.set_num_threads(1)

# Modules and tests are objects that stay alive. While they are collected, the garbage collector
# would traverse them again and again, which takes a quarter of that time.
gc.disable()


@pytest.fixture(scope="module")
def blank_plots() -> Iterator[None]:
    """The plots of a run are empty files. Drawing them takes most of the time of a small run."""
    from training_loop.reports import plots  # matplotlib, which few tests need

    with pytest.MonkeyPatch.context() as patched:
        for name in ("draw_curve", "draw_confusion", "draw_mistakes"):
            patched.setattr(plots, name, create_autospec(getattr(plots, name)))
        yield


def pytest_collection_finish() -> None:
    """Turn the garbage collector on, for what the tests create."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a browser or a GPU, and put the files with slow tests first.

    Otherwise, at the end of a parallel run, one worker may have a long file and the others nothing.
    """
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
        if item.path.name == "test_gpu.py":
            item.add_marker("gpu")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


CHROMIUM_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium, one for all tests of a process: playwright permits no second one."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("no chromium is installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()
