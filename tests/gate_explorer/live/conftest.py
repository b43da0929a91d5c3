"""Pages of Chromium for the tests of the live page."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gate_explorer.live.live_page import DESKTOP, LivePage
from tests.helpers.paths import ROOT


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A new page of the browser, which fails the test if a script in it raises an error."""
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []


@pytest.fixture(scope="session")
def live_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The live page of the documentation: an RNN, a GRU and an LSTM trained on MNIST."""
    path = tmp_path_factory.mktemp("live") / "live.html"
    render = runpy.run_path(str(ROOT / "docs" / "live_page.py"))["render"]
    path.write_text(render(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def desktop(browser: Any, live_file: Path) -> Iterator[LivePage]:
    page = LivePage(browser, live_file, DESKTOP)
    yield page
    page.close()


@pytest.fixture
def live(desktop: LivePage) -> LivePage:
    """The page with a 7 from the test images, the guide closed."""
    desktop.reset()
    return desktop
