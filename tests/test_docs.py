"""The Python code of the documentation runs; every file, link and option on a page exists."""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch

from tests.helpers.paths import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
MARKDOWN = [*sorted(ROOT.glob("*.md")), *PAGES, *sorted((ROOT / "scratch_cells").rglob("*.md"))]
GENERATED = {DOCS / "live.html"}  # by docs/live_page.py when the site is built
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCED_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
SOURCE_FILE = re.compile(r"`((?:[a-z_]+/)+[\w-]+\.(?:py|c|sh))`")
NAME_IN_FILE = re.compile(r"`(\w+)`(?:\s+\w+)?\s+in\s+`((?:[a-z_]+/)+\w+\.py)`")
COMMAND = re.compile(
    r"(?:python|torchrun .*?) (train\.py|-m (?:gate_explorer|cell_verifier|exercises))\b(.*)"
)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The anchor of each heading, as GitHub and mkdocs derive it."""
    headings = HEADING.findall(FENCED_BLOCK.sub("", read(page)))
    return {re.sub(r"[^\w\s-]", "", heading).lower().replace(" ", "-") for heading in headings}


@cache
def help_of(program: str) -> str:
    """The --help text of train.py or of a package's command."""
    command = [sys.executable, *program.split(), "--help"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def keep_tf32_settings() -> Iterator[None]:
    """Some pages turn TF32 off; restore it for the tests that follow."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.usefixtures("keep_tf32_settings")
@pytest.mark.parametrize("page", [p for p in PAGES if PYTHON_BLOCK.search(read(p))], ids=name_of)
def test_python_blocks_run_from_top_to_bottom(page: Path) -> None:
    text = read(page)
    torch.compiler.reset()  # other tests may have compiled the same code up to its limit
    torch.manual_seed(0)
    names: dict[str, object] = {"__name__": page.stem}
    for block in PYTHON_BLOCK.finditer(text):
        lines_before = text.count("\n", 0, block.start(1))  # so that an error names the page's line
        exec(compile("\n" * lines_before + block[1], str(page), "exec"), names)


def test_most_pages_have_python_blocks() -> None:
    assert sum(PYTHON_BLOCK.search(read(page)) is not None for page in PAGES) >= 9


@pytest.mark.parametrize("page", MARKDOWN, ids=name_of)
def test_links_point_to_existing_files_and_headings(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCED_BLOCK.sub("", read(page))):
        if re.match(r"[a-z]+:", link):  # https:, mailto:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists() or target in GENERATED, f"{name_of(page)} links to {link}"
        generated = "reference" in target.parts  # its headings are made from docstrings
        if anchor and target.suffix == ".md" and not generated:
            assert anchor in anchors(target), f"{name_of(page)} links to {link}"


@pytest.mark.parametrize("page", MARKDOWN, ids=name_of)
def test_named_source_files_exist(page: Path) -> None:
    for file in SOURCE_FILE.findall(read(page)):
        assert (ROOT / file).is_file(), f"{name_of(page)} names {file}"


@pytest.mark.parametrize("page", MARKDOWN, ids=name_of)
def test_names_are_in_the_files_that_a_page_gives(page: Path) -> None:
    for name, file in NAME_IN_FILE.findall(read(page)):
        assert re.search(rf"\b{name}\b", read(ROOT / file)), f"{name_of(page)}: {name} in {file}"


def test_contributing_names_what_is_in_files() -> None:
    assert len(NAME_IN_FILE.findall(read(ROOT / "CONTRIBUTING.md"))) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("page", MARKDOWN, ids=name_of)
def test_commands_use_existing_options(page: Path) -> None:
    for program, arguments in COMMAND.findall(read(page)):
        for option in re.findall(r"(?<!\S)--[a-z][a-z0-9-]*", arguments):
            known = re.search(rf"{option}(?![\w-])", help_of(program))
            assert known, f"{name_of(page)}: {program} has no option {option}"


def test_index_links_to_every_page() -> None:
    text = read(DOCS / "index.md")
    linked = {(DOCS / link).resolve() for link in re.findall(r"\]\(([^)#\s]+\.md)\)", text)}
    pages = {page for page in PAGES if page.name != "index.md"}
    assert not pages - linked


def test_figures_are_small() -> None:
    for figure in (DOCS / "figures").iterdir():
        assert figure.stat().st_size < 400_000, figure.name


def test_the_exercises_that_pages_name_exist() -> None:
    course = {path.stem for path in (ROOT / "exercises" / "course").glob("*/*.py")}
    named = [name for page in PAGES for name in re.findall(r"exercises check (\w+)", read(page))]
    assert len(named) > 30
    assert set(named) - course <= {"all", "NAME"}
