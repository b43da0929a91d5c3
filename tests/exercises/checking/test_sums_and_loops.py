"""Sums in several statements, loops that stop early, and right formulas with a wrong operand."""

from pathlib import Path

import pytest

from exercises.checking.judge import judge
from exercises.exercise import find_exercise
from exercises.result import Result, text_lines
from tests.exercises.helpers import line_of, with_body

RETURN = "return torch.tanh(z)"
LOOP = ("hs.append(h)", "return torch.stack(hs), h")

# Exercise, body, the line that must be named (none if the answer is right), part of the answer.
ANSWERS = {
    "a sum in three statements": (
        "rnn_step",
        ("z = x @ w_ih.T", "z += h @ w_hh.T", "z += b_ih + b_hh", RETURN),
        "",
        "passed",
    ),
    "a wrong product in a sum": (
        "rnn_step",
        ("z = x @ w_ih.T", "z += h @ w_hh", "z += b_ih + b_hh", RETURN),
        "z += h @ w_hh",
        "W_hh h",
    ),
    "a bias is missing in a sum": (
        "rnn_step",
        ("z = x @ w_ih.T", "z += h @ w_hh.T", "z += b_ih", RETURN),
        "z += b_ih",
        "a = W_ih x + b_ih + W_hh h + b_hh",
    ),
    "a wrong sign in a sum": (
        "rnn_step",
        ("z = x @ w_ih.T", "z += h @ w_hh.T", "z -= b_ih + b_hh", RETURN),
        "z -= b_ih",
        "b_hh",
    ),
    "a bias is used twice": (
        "rnn_step",
        ("z = x @ w_ih.T + b_ih", "y = h @ w_hh.T + b_ih", "return torch.tanh(z + y)"),
        "y = h",
        "proof",
    ),
    "the last step is missing": (
        "loop_over_time",
        (
            "hs = []",
            "h = h_0",
            "for t in range(len(x) - 1):",
            "    h = rnn_step(x[t], h, w_ih, w_hh, b_ih, b_hh)",
            f"    {LOOP[0]}",
            LOOP[1],
        ),
        "for t in",
        "the loop runs 4 times, expected 5 times",
    ),
    "a gate without its activation": (
        "lstm_step",
        (
            "a = x @ w_ih.T + b_ih + h @ w_hh.T + b_hh",
            "i, f, g, o = a.chunk(4, 1)",
            "i, f, o = torch.sigmoid(i), torch.sigmoid(f), torch.sigmoid(o)",
            "c = f * c + i * g",
            "return o * torch.tanh(c), c",
        ),
        "i, f, g, o = a.chunk",
        "should compute   g = tanh(a_g)",
    ),
}


def result_of(exercise: str, body: tuple[str, ...], folder: Path) -> Result:
    entry = find_exercise(exercise)
    path = folder / entry.file_name
    path.write_text(with_body(*body, exercise=exercise), encoding="utf-8")
    return judge(entry, path, seed=5)


@pytest.mark.parametrize("name", ANSWERS)
def test_the_line_is_named(name: str, tmp_path: Path) -> None:
    exercise, body, part, answer = ANSWERS[name]
    result = result_of(exercise, body, tmp_path)
    assert result.passed == (not part)
    if part:
        assert result.line == line_of(with_body(*body, exercise=exercise), part)
    assert answer in "\n".join(text_lines(result))
