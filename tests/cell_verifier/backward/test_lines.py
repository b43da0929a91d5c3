"""``verify_backward`` locates the wrong line of a backward pass, and proves it."""

import difflib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cell_verifier import verify_backward
from cell_verifier.backward.report import BackwardReport
from tests.cell_verifier.backward.cases import FOLDER, WRONG, Case

LEARNERS = {
    "missing-path-through-cell",
    "missing-sigmoid-derivative",
    "partial-sigmoid-derivative",
    "missing-tanh-derivative",
    "gate-left-out",
    "hidden-gradient-not-carried",
    "overwritten-over-time",
    "bias-summed-over-wrong-axis",
    "untransposed-weight",
    "untransposed-input-weight",
    "loop-in-wrong-direction",
    "averaged-over-time",
}
"""The mistakes that learners make most."""

NOT_LOCATED = [
    # The joint search over the places of four gates takes too long.
    ("bias-summed-over-wrong-axis", "lstm_dictionary_numpy"),
]


def one_of_each_style() -> list[Case]:
    """The first case of every learner's mistake in each style."""
    found: dict[tuple[str, str], Case] = {}
    for case in WRONG:
        mistake = case.mistakes[0]
        if mistake in LEARNERS and (mistake, case.file) not in NOT_LOCATED:
            found.setdefault((mistake, case.style), case)
    return list(found.values())


def module_of(text: str, path: Path) -> ModuleType:
    """A file with this text, imported."""
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report_on(text: str, against: str, path: Path) -> BackwardReport:
    module = module_of(text, path)
    return verify_backward(module.FORWARD, module.BACKWARD, against=against)  # type: ignore[arg-type]


def changed_lines(right: str, wrong: str) -> set[int]:
    """The lines of ``wrong``, counted from 1, that are not those of ``right``."""
    found: set[int] = set()
    matcher = difflib.SequenceMatcher(None, right.split("\n"), wrong.split("\n"), autojunk=False)
    for tag, _, _, start, end in matcher.get_opcodes():
        if tag != "equal":
            found |= set(range(start + 1, end + 1))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("case", one_of_each_style(), ids=lambda c: f"{c.file}-{c.mistakes[0]}")
def test_the_changed_line_is_located(case: Case, tmp_path: Path) -> None:
    right = (FOLDER / f"{case.file}.py").read_text(encoding="utf-8")
    wrong = right
    for before, after in case.changes:
        wrong = wrong.replace(before, after)
    report = report_on(wrong, case.against, tmp_path / "my_backward.py")
    assert report.mistakes == case.mistakes
    lines = {each.line for each in report.locations}
    assert lines, str(report)
    assert lines <= changed_lines(right, wrong), str(report)
    assert all(each.proved and each.expected for each in report.locations)


def test_most_of_the_mistakes_are_tried_in_two_styles() -> None:
    styles: dict[str, set[str]] = {}
    for case in one_of_each_style():
        styles.setdefault(case.mistakes[0], set()).add(case.style)
    assert sum(len(each) == 2 for each in styles.values()) >= 10, styles


def changed_step(tmp_path: Path, *changes: tuple[str, str]) -> BackwardReport:
    text = (FOLDER / "lstm_step_numpy.py").read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return report_on(text, "lstm", tmp_path / "my_backward.py")


def test_the_report_shows_the_line(tmp_path: Path) -> None:
    report = changed_step(tmp_path, ("df = dc * prev_c", "df = dc * next_c"))
    (location,) = report.locations
    assert (location.line, location.source) == (24, "df = dc * next_c")
    assert (location.computes, location.expected) == ("df = dc'_total ⊙ c'", "df = dc'_total ⊙ c")
    text = str(report)
    assert "my_backward.py:24  df = dc * next_c\n" in text
    assert "with the right value on this line, every gradient is right" in text
    assert '"line": 24' in report.as_json()


def test_a_mistake_that_is_in_no_catalogue_is_located(tmp_path: Path) -> None:
    report = changed_step(tmp_path, ("dag = dg * (1 - g ** 2)", "dag = np.sin(dg) * (1 - g ** 2)"))
    assert report.mistakes == ()
    assert [each.line for each in report.locations] == [30]


def test_two_mistakes_are_two_locations(tmp_path: Path) -> None:
    report = changed_step(
        tmp_path, ("dprev_c = dc * f", "dprev_c = dc"), ("da.sum(axis=0)", "da.mean(axis=0)")
    )
    assert [each.line for each in report.locations] == [26, 36]


def test_a_mistake_in_a_function_that_is_called_is_located_there(tmp_path: Path) -> None:
    """One line that is executed once for each gate."""
    report = changed_step(
        tmp_path,
        (
            "def lstm_step_backward",
            "def slope(s):\n    return s * (1 + s)\n\n\ndef lstm_step_backward",
        ),
        ("i * (1 - i)", "slope(i)"),
        ("f * (1 - f)", "slope(f)"),
        ("o * (1 - o)", "slope(o)"),
    )
    (location,) = report.locations
    assert location.source == "return s * (1 + s)", str(report)


def test_a_right_backward_pass_has_no_location(tmp_path: Path) -> None:
    report = changed_step(tmp_path)
    assert (report.verdict, report.locations, report.notes) == ("equal", (), ())


def test_code_without_a_source_gets_a_note() -> None:
    names: dict[str, Any] = {"np": np}
    exec(
        "def forward(x, h, w, u, b):\n"
        "    new = np.tanh(x @ w + h @ u + b)\n"
        "    return new, (x, h, w, u, new)\n"
        "def backward(dh, cache):\n"
        "    x, h, w, u, new = cache\n"
        "    da = dh * (1 - new)\n"
        "    return da @ w.T, da @ u.T, x.T @ da, h.T @ da, da.sum(0)\n",
        names,
    )
    report = verify_backward(names["forward"], names["backward"], against="rnn")
    assert report.locations == ()
    assert report.notes == ("line-unknown: the source of the backward pass cannot be read",)


def test_the_users_functions_are_not_changed(tmp_path: Path) -> None:
    """The line is found on copies: the functions and their module stay as they are."""
    text = (FOLDER / "rnn_function.py").read_text(encoding="utf-8")
    module = module_of(text.replace("new_h ** 2", "new_h"), tmp_path / "my_backward.py")
    before = dict(vars(module)), module.RNNCellFunction.backward
    report = verify_backward(module.FORWARD, against="rnn")
    assert [each.line for each in report.locations] == [17]
    assert (dict(vars(module)), module.RNNCellFunction.backward) == before
