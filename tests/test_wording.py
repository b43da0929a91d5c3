"""Code, documentation and tests are written in plain technical English."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.banned_phrases import NAMES, PHRASES
from tests.helpers.paths import ROOT

FOLDERS = (
    "benchmarks",
    "builtin_models",
    "cell_verifier",
    "command_line",
    "conversion",
    "docs",
    "examples",
    "exercises",
    "gate_explorer",
    "scratch_cells",
    "sequenced_mnist",
    "shared_interface",
    "tests",
    "training_loop",
)
ENDINGS = {".py", ".md", ".c", ".h", ".js", ".css", ".html", ".sh", ".toml", ".yml", ".yaml"}
EXCEPT = (
    "tests/helpers/banned_phrases.py",
    "tests/test_wording.py",
    # Cells as their authors would write them; what they are called is part of what they test.
    "tests/cell_verifier/cells/held_out/",
    "tests/cell_verifier/cells/right/",
)

# File -> expressions that are legitimate there.
ALLOWED: dict[str, tuple[str, ...]] = {
    "CHANGELOG.md": ("by_hand",),  # names what the backend was called before
}


def written_files() -> list[str]:
    """Every file of the project with text in it, relative to the repository."""
    files = [path for path in ROOT.iterdir() if path.suffix in ENDINGS or path.name == "Makefile"]
    files += [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    names = [path.relative_to(ROOT).as_posix() for path in files if path.is_file()]
    return sorted(
        name
        for name in names
        if (Path(name).suffix in ENDINGS or name == "Makefile") and not name.startswith(EXCEPT)
    )


def expression(phrase: str) -> re.Pattern[str]:
    """A space matches a line break and the start of the next comment line too."""
    # A look-behind must have a fixed width, so a space in one stays a space.
    parts = re.split(r"(\(\?<!.*?\))", phrase)
    spaced = [p if p.startswith("(?<!") else p.replace(" ", r"[\s#*]+") for p in parts]
    return re.compile("".join(spaced), re.IGNORECASE)


BANNED = [
    *((expression(phrase), instead) for phrase, instead in PHRASES.items()),
    *((re.compile(rf"\b{name}\b"), instead) for name, instead in NAMES.items()),
]


def findings(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, banned words and what to write instead."""
    for pattern, instead in BANNED:
        for match in pattern.finditer(text):
            yield text.count("\n", 0, match.start()) + 1, match[0], instead


@pytest.mark.parametrize("name", written_files())
def test_the_words_are_plain(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    allowed = ALLOWED.get(name, ())
    lines = [
        f"{name}:{line}: {words!r}: write instead: {instead}"
        for line, words, instead in sorted(findings(text))
        if words not in allowed
    ]
    assert not lines, "\n".join(lines)


def test_allowed_words_are_still_used() -> None:
    for name, words in ALLOWED.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        for word in words:
            assert word in text, f"{name}: {word!r} is not used any more"


@pytest.mark.parametrize(
    "text",
    [
        "the backward walk",
        "walks over the sequence",
        "_walk(cell)",
        "How many numbers the model learns",
        "so\n    # many rows",
        "NumPy's beside torch's",
        "The run goes on to the bit",
        "x is no class",
        "may be 1e-10",
        "the cell says what it wants",
        "The file lies there",
        "as it stands",
        "layer.by_hand",
        "def heeding_signals() -> None:",
    ],
)
def test_banned_words_are_found(text: str) -> None:
    assert list(findings(text))


@pytest.mark.parametrize(
    "text",
    [
        "for node in ast.walk(tree):",
        "import numbers",
        "isinstance(x, numbers.Integral)",
        "draws random numbers, in floating-point numbers",
        "There is no GPU, so the test is skipped; x is no longer used",
        "H stands for hidden_size",
        "Connection refused",
        "a port which refuses connections",
        "what the user asks for",
        "Besides, the maybe is not a word here",
        "written by hand",
    ],
)
def test_plain_words_are_left_alone(text: str) -> None:
    assert list(findings(text)) == []


def test_a_finding_has_its_line_and_a_replacement() -> None:
    assert list(findings("a\nwritten\nanew\n")) == [(3, "anew", "again")]
