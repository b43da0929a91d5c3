"""The programs of the README run, and its list of files matches the files on disk."""

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PROGRAMS = [block for block in BLOCKS if "import " in block]
IGNORED = (ROOT / ".gitignore").read_text(encoding="utf-8").split()


def listed_paths() -> Iterator[Path]:
    """The files and folders of the README's tree: two spaces of indentation for each level."""
    tree = next(block for block in README.split("```")[1::2] if "scratch_cells/ " in block)
    folders = [ROOT]
    for line in tree.strip("\n").splitlines():
        match = re.match(r"((?:  )*)((?:[\w.]+/? )+)", line)
        assert match is not None, line
        level, names = len(match[1]) // 2, match[2].split()
        for name in names:
            yield folders[level] / name
        folders[level + 1 :] = [folders[level] / names[-1]]


def is_ignored(folder: Path) -> bool:
    """Hidden, or in .gitignore: not a part of the project."""
    patterns = [".*", *(pattern.strip("/") for pattern in IGNORED)]
    return any(fnmatch(folder.name, pattern) for pattern in patterns)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.split("\n")[0])
def test_programs_run(program: str) -> None:
    exec(compile(program, "README.md", "exec"), {"__name__": "readme"})


def test_readme_has_programs() -> None:
    assert len(PROGRAMS) >= 3


def test_shortened_cell_has_the_lines_of_lstm_py() -> None:
    source = (ROOT / "scratch_cells" / "lstm.py").read_text(encoding="utf-8").replace("torch.", "")
    for line in (
        "h, _ = state",
        "i, f, g, o = (projected + self.hidden_to_hidden(h)).chunk(4, dim=-1)",
        "i, f, g, o = gates",
        "_, c = state",
        "c = f * c + i * g",
        "h = o * tanh(c)",
        "return h, c",
    ):
        assert line in README
        assert line in source


def test_listed_files_and_folders_exist() -> None:
    paths = list(listed_paths())
    assert len(paths) >= 40
    for path in paths:
        assert path.exists(), path


def test_every_top_level_folder_is_listed() -> None:
    listed = set(listed_paths())
    for folder in ROOT.iterdir():
        if folder.is_dir() and not is_ignored(folder):
            assert folder in listed, folder


def test_every_file_of_scratch_cells_is_listed() -> None:
    listed = set(listed_paths())
    for file in (ROOT / "scratch_cells").rglob("*"):
        if file.suffix in {".py", ".c", ".h", ".md"}:
            assert file in listed, file
