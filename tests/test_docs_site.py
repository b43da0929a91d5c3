"""The documentation site works opened from disk, on a wide and on a narrow screen."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow

WITH_EQUATIONS = ("tutorials/", "explanation/bptt", "reference/scratch_cells")
# The texts of the code blocks that are wider than the space they have.
CUT_OFF = """() => [...document.querySelectorAll("pre > code")]
    .filter(block => block.scrollWidth > block.clientWidth + 1).map(block => block.textContent)"""
TOO_WIDE = "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="make docs installs mkdocs")
    pytest.importorskip("mkdocstrings", reason="make docs installs mkdocstrings")
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


WIDTHS = (1300, 390)


@pytest.fixture(scope="module")
def problems_of_pages(site: Path, browser: Any) -> dict[int, list[str]]:
    """Window width -> what is wrong with the pages. Each is loaded once, and then resized."""
    pages = [path for path in site.rglob("*.html") if path.name != "404.html"]
    assert len(pages) >= 18
    tab = browser.new_page()
    requests: list[str] = []
    problems: list[str] = []
    of_width: dict[int, list[str]] = {width: [] for width in WIDTHS}
    tab.on("request", lambda request: requests.append(request.url))
    # A request that is still open when the next page is loaded is aborted. It does not
    # mean that the page is broken: a missing file gives ERR_FILE_NOT_FOUND.
    tab.on(
        "requestfailed",
        lambda request: request.failure == "net::ERR_ABORTED" or problems.append(request.url),
    )
    tab.on("pageerror", lambda error: problems.append(str(error)))
    for page in pages:
        name = page.relative_to(site).as_posix()
        tab.set_viewport_size({"width": WIDTHS[0], "height": 900})
        tab.goto(page.as_uri())
        for width, wrong in of_width.items():
            tab.set_viewport_size({"width": width, "height": 900})
            if tab.evaluate(TOO_WIDE):
                wrong.append(f"{name} is wider than the window")
            if width == 1300 and name.startswith(WITH_EQUATIONS):
                wrong += [f"{name}: cut off: {text}" for text in tab.evaluate(CUT_OFF)]
    tab.close()
    problems += [url for url in requests if not url.startswith(("file:", "data:", "blob:"))]
    return {width: problems + wrong for width, wrong in of_width.items()}


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_loads_from_disk_and_fits_the_window(
    width: int, problems_of_pages: dict[int, list[str]]
) -> None:
    assert problems_of_pages[width] == []


def test_navigation_works_from_disk(site: Path, browser: Any) -> None:
    tab = browser.new_page(viewport={"width": 1300, "height": 900})
    tab.goto((site / "index.html").as_uri())
    tab.click("nav.md-nav--primary a.md-nav__link >> text=/^\\s*LSTM\\s*$/")
    assert tab.url.endswith("/tutorials/lstm.html")
    tab.click("nav.md-nav--primary >> text=scratch_cells")
    assert tab.inner_text("h1").startswith("scratch_cells")
    tab.close()
