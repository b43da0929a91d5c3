"""benchmarks/compile_time.py: what is measured, and the figure; nothing is compiled here."""

from pathlib import Path

import pytest

from benchmarks import compile_time
from benchmarks.compile_time import CASES, LONGEST_LOOP, Options, main


def test_every_case_is_printed_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def measure(name: str, kind: str, phase: str, steps: int) -> tuple[float, float]:
        calls.append((name, kind, phase, steps))
        return 2.0, 1.0

    monkeypatch.setattr(compile_time, "measure", measure)
    monkeypatch.setattr(compile_time, "FIGURE", tmp_path / "figure.png")
    main(Options(steps=(4, 2 * LONGEST_LOOP), draw=True))
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(calls)
    assert printed[0] == "GRU, training    operator          T    4     2.0 s, a call 1.00 of eager"
    for kind, phase in CASES:
        assert ("operator", kind, phase, 2 * LONGEST_LOOP) in calls
        assert ("loop", kind, phase, 2 * LONGEST_LOOP) not in calls  # it would take minutes
