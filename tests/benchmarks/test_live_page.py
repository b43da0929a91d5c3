"""benchmarks/live_page.py: it measures the engine and the page in a real browser."""

import re
import shutil
import subprocess
import sys

import pytest

from benchmarks.live_page import Options
from command_line.errors import ConfigError
from tests.helpers.paths import ROOT


@pytest.mark.browser
@pytest.mark.slow
def test_the_times_of_the_engine_and_of_the_page_are_printed() -> None:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not (shutil.which("chromium") or shutil.which("chromium-browser")):
        pytest.skip("no chromium is installed")
    options = ("--hidden-size", "3", "--num-layers", "1", "--repeats", "2")
    command = [sys.executable, "-m", "benchmarks.live_page", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    times = [line for line in lines if line.startswith("Chromium, ")]
    assert [line.split()[1] for line in times] == ["rnn:", "gru:", "lstm:"]
    answers = [float(found[1]) for line in lines if (found := re.search(r": ([\d.]+) from", line))]
    assert len(answers) == 2
    assert all(0 < milliseconds < 10_000 for milliseconds in answers)


def test_options_that_measure_nothing_give_one_line() -> None:
    with pytest.raises(ConfigError, match="repeats is 0: expected at least 1"):
        Options(repeats=0)
