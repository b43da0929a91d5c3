"""benchmarks/live_page.py: it measures the engine and the page in a real browser."""

import re
import shutil
from typing import Any

import pytest

from benchmarks.live_page import Options, main
from command_line.errors import ConfigError


@pytest.mark.browser
@pytest.mark.slow
def test_the_times_of_the_engine_and_of_the_page_are_printed(capsys: Any) -> None:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not (shutil.which("chromium") or shutil.which("chromium-browser")):
        pytest.skip("no chromium is installed")
    main(Options(hidden_size=3, num_layers=1, repeats=2))
    lines = capsys.readouterr().out.splitlines()
    times = [line for line in lines if line.startswith("Chromium, ")]
    assert [line.split()[1] for line in times] == ["rnn:", "gru:", "lstm:"]
    answers = [float(found[1]) for line in lines if (found := re.search(r": ([\d.]+) from", line))]
    assert len(answers) == 2
    assert all(0 < milliseconds < 10_000 for milliseconds in answers)


def test_options_that_measure_nothing_give_one_line() -> None:
    with pytest.raises(ConfigError, match="repeats is 0: expected at least 1"):
        Options(repeats=0)
