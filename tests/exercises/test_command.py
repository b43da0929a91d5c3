"""``python -m exercises``: every action, and what it leaves on the disk."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from command_line.errors import ConfigError
from command_line.program import parse_arguments
from exercises.arguments import MAX_HINT_VARIABLE, PROGRAM, Arguments
from exercises.command import main
from exercises.exercise import all_exercises, find_exercise
from exercises.workspace import Progress, Record, Workspace, next_exercise
from tests.exercises.helpers import EXERCISE, TASK, line_of, solution
from tests.helpers.paths import ROOT

FILE = Path("my_exercises") / "part_3_gates" / f"{EXERCISE}.py"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(MAX_HINT_VARIABLE, raising=False)


def run(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit status and output of the command, in this process."""
    status = main(parse_arguments(Arguments, PROGRAM, words), Console(width=100))
    return status, capsys.readouterr().out


def test_check_creates_the_copy_and_never_replaces_it(capsys: pytest.CaptureFixture[str]) -> None:
    status, out = run("check", EXERCISE, capsys=capsys)
    assert status == 1
    assert f"created {FILE}" in out
    assert f"not written yet: {TASK}" in out
    FILE.write_text(solution())
    status, out = run("check", f"{EXERCISE}.py", "--json", "result.json", capsys=capsys)
    assert status == 0
    assert out.startswith(f"passed  {EXERCISE}\n[#")
    assert FILE.read_text() == solution()
    written = json.loads(Path("result.json").read_text())
    assert (written["passed"], written["total"]) == (1, 1)
    assert written["results"][0]["status"] == "passed"


def test_a_seed_is_printed_and_reproduces_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    FILE.parent.mkdir(parents=True)
    text = solution().replace("torch.tanh(c_next)", "c_next")
    FILE.write_text(text)
    status, out = run("check", EXERCISE, "--seed", "17", "--json", "a.json", capsys=capsys)
    assert status == 1
    assert out.startswith(f"{EXERCISE}.py:{line_of(text, 'h_next = o')}  h_next = o * c_next")
    assert "--seed 17" in out
    run("check", EXERCISE, "--seed", "17", "--json", "b.json", capsys=capsys)
    first, second = (json.loads(Path(f).read_text())["results"][0] for f in ("a.json", "b.json"))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_hints_come_one_level_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    hints = find_exercise(EXERCISE).exercise.hints
    for level in (1, 2, 3, 3):
        _, out = run("hint", EXERCISE, capsys=capsys)
        assert [hint in out for hint in hints] == [n < level for n in range(3)]
    assert Workspace(Path("my_exercises")).load_progress().records[EXERCISE].hints == 3


def test_a_teacher_can_limit_the_hints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hints = find_exercise(EXERCISE).exercise.hints
    monkeypatch.setenv(MAX_HINT_VARIABLE, "1")
    for _ in range(3):
        _, out = run("hint", EXERCISE, "--max-hint", "3", capsys=capsys)
        assert hints[0] in out
        assert hints[1] not in out
    with pytest.raises(ConfigError, match="limited to level 1"):
        run("solution", EXERCISE, "--yes", capsys=capsys)
    monkeypatch.setenv(MAX_HINT_VARIABLE, "0")
    assert "switched off" in run("hint", EXERCISE, capsys=capsys)[1]
    monkeypatch.setenv(MAX_HINT_VARIABLE, "many")
    with pytest.raises(ConfigError, match="EXERCISES_MAX_HINT is 'many': expected 0 to 3"):
        run("hint", EXERCISE, capsys=capsys)


def test_the_solution_is_shown_after_success_or_on_demand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ConfigError, match=r"not passed yet: show the solution\? Add --yes"):
        run("solution", EXERCISE, capsys=capsys)
    _, out = run("solution", EXERCISE, "--yes", capsys=capsys)
    assert out.strip() == solution().strip()
    assert Workspace(Path("my_exercises")).load_progress().records[EXERCISE].solution_shown
    run("check", EXERCISE, capsys=capsys)
    FILE.write_text(solution())
    run("check", EXERCISE, capsys=capsys)
    assert run("solution", EXERCISE, capsys=capsys)[1].strip() == solution().strip()


def test_reset_asks_and_keeps_a_backup(capsys: pytest.CaptureFixture[str]) -> None:
    run("check", EXERCISE, capsys=capsys)
    original = FILE.read_text()
    FILE.write_text("my own work")
    with pytest.raises(ConfigError, match="Add --yes"):
        run("reset", EXERCISE, capsys=capsys)
    assert FILE.read_text() == "my own work"
    for _ in range(2):
        run("reset", EXERCISE, "--yes", capsys=capsys)
        assert FILE.read_text() == original
    backups = sorted((FILE.parents[1] / "backups").iterdir())
    assert [backup.read_text() for backup in backups] == ["my own work", original]


def test_progress_is_kept_and_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    total = len(all_exercises())
    assert f"] 0 of {total} exercises passed" in run("progress", capsys=capsys)[1]
    assert not Path("my_exercises").exists()
    FILE.parent.mkdir(parents=True)
    FILE.write_text(solution())
    run("check", EXERCISE, capsys=capsys)
    _, out = run("progress", capsys=capsys)
    assert f"] 1 of {total} exercises passed" in out
    assert "1 of  8  Part 3: the gates" in out
    (row,) = [line for line in run("list", capsys=capsys)[1].splitlines() if EXERCISE in line]
    assert row.startswith("> ")
    assert "  passed  " in row


def test_damaged_progress_is_an_error_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my_exercises").mkdir()
    for text in ("", "{", "[]", '{"current": "", "records": {"a": {"b": 1}}}'):
        Path("my_exercises/progress.json").write_text(text)
        with pytest.raises(ConfigError, match=r"progress.json is damaged: delete it"):
            run("progress", capsys=capsys)


def test_check_all_checks_every_exercise(capsys: pytest.CaptureFixture[str]) -> None:
    FILE.parent.mkdir(parents=True)
    FILE.write_text(solution())
    status, out = run("check", "all", capsys=capsys)
    assert status == 1
    assert f"passed     {EXERCISE}" in out
    assert out.count("missing") >= len(all_exercises()) - 1


def test_the_next_exercise_is_the_first_that_is_not_passed() -> None:
    first, second, *_, last = all_exercises()
    progress = Progress()
    assert next_exercise(progress) == first
    assert next_exercise(progress, after=first) == second
    assert next_exercise(progress, after=last) == first
    progress.records[first.name] = Record(passed="2026")
    assert next_exercise(progress, after=last) == second
    progress.current = last.name
    assert next_exercise(progress) == last
    progress.records = {entry.name: Record(passed="2026") for entry in all_exercises()}
    assert next_exercise(progress) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["chekc"], "there is no action 'chekc': did you mean check?"),
        (["dance"], "there is no action 'dance': expected watch, list, check"),
        (["check", "lstm_stepp"], "there is no exercise 'lstm_stepp': did you mean lstm_step?"),
        (["reset"], "reset requires the exercise's name"),
        (["list", "lstm_step"], "list takes no name: got 'lstm_step'"),
        (["hint", "--json", "a.json"], "--json is for check and grade, not for hint"),
        (["check", "--nbgrader"], "--nbgrader is for notebooks, not for check"),
        (["check", "--max-hint", "4"], "--max-hint is 4: expected 0 to 3"),
        (["check", "--seed", "-1"], "--seed is -1: expected 0 or more"),
        (["check", "--json", "no/a.json"], "the folder no does not exist"),
        (["grade", "nowhere"], "cannot read the folder nowhere"),
        (["check", "--sed", "1"], "unrecognized option --sed: did you mean --seed?"),
    ],
)
def test_a_wrong_argument_is_answered_in_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError) as raised:
        run(*words, capsys=capsys)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_the_command_runs_as_a_process(tmp_path: Path) -> None:
    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "exercises", *words],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
        )

    done = command("check", EXERCISE)
    assert (done.returncode, done.stderr) == (1, "")
    assert "raise NotImplementedError" in done.stdout
    done = command("reset", EXERCISE)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert command("list").returncode == 0
