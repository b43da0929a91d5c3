"""Every small change of a statement is located, not only the wrong answers that we thought of."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from exercises.checking.judge import judge
from exercises.exercise import find_exercise

CHANGES = (
    (r" \* ", " + "),
    (r" \+ ", " - "),
    (r"\.T\b", ""),
    (r"torch\.tanh\(", "torch.sigmoid("),
    (r"torch\.sigmoid\(", "torch.tanh("),
    (r"\(1 - (\w+)\)", r"\1"),
    (r"\*\*2", ""),
    (r"dim=-1", "dim=0"),
    (r"\.flip\(0\)", ""),
    (r"\.detach\(\)", ""),
    (r"h\[size:\]", "h_0[size:]"),
)


def mutants(text: str, first: int, last: int) -> Iterator[tuple[int, str]]:
    """The line and the text for every change in the code of these lines, counted from 0."""
    lines = text.splitlines()
    for n in range(first, last):
        code, mark, comment = lines[n].partition("  # ")
        for pattern, changed in CHANGES:
            for match in re.finditer(pattern, code):
                new = code[: match.start()] + match.expand(changed) + code[match.end() :]
                yield n + 1, "\n".join([*lines[:n], new + mark + comment, *lines[n + 1 :], ""])


@pytest.mark.parametrize(
    "name",
    [
        "rnn_step",
        "packed_sequences",
        "both_directions",
        "gru_candidate",
        "lstm_step",
        "lstm_backward_memory",
        "gru_backward_gates",
        "truncated_bptt",
    ],
)
def test_every_change_is_located(name: str, tmp_path: Path) -> None:
    entry = find_exercise(name)
    template = entry.template
    (region,) = template.regions
    first = region.first - 1
    path, found = tmp_path / entry.file_name, 0
    for line, text in mutants(template.solution(), first, first + len(region.solution)):
        path.write_text(text, encoding="utf-8")
        result = judge(entry, path, seed=0)
        changed = text.splitlines()[line - 1].strip()
        assert result.status in ("failed", "error"), changed
        assert result.line == line, f"{changed}: {result.line} {result.source}: {result.message}"
        found += 1
    assert found >= 2
