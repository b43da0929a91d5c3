"""The README's programs run, and the files that its tree names are there."""

import re

import pytest

from tests.helpers.paths import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PROGRAMS = [block for block in BLOCKS if "import " in block]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.split("\n")[0])
def test_programs_run(program: str) -> None:
    exec(compile(program, "README.md", "exec"), {"__name__": "readme"})


def test_there_are_programs() -> None:
    assert len(PROGRAMS) >= 2


def test_the_lines_of_the_cell_are_the_cells() -> None:
    """The shortened body in the README is the one in lstm.py, line for line."""
    source = (ROOT / "scratch_cells" / "lstm.py").read_text().replace("torch.", "")
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


def test_the_tree_is_the_tree() -> None:
    """Each line is a folder, or files of the folder above it if indented, then what they are."""
    folder, files = ROOT, []
    for line in README.split("```")[1].strip("\n").splitlines():
        names = re.match(r" *((?:[\w.]+/? )+)", line)
        assert names is not None, line
        if names[1].strip().endswith("/"):
            inner = line.startswith(" ")
            folder = (folder if inner else ROOT) / names[1].strip()
            assert folder.is_dir(), folder
        else:
            home = folder if line.startswith(" ") else ROOT
            files += [home / name for name in names[1].split() if name.endswith(".py")]
    assert len(files) >= 12
    for file in files:
        assert file.is_file(), file
