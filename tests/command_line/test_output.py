"""command_line/output.py: a command whose output is closed, full or cannot show a character."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command_line.errors import one_line, printable
from command_line.output import checked_output
from tests.helpers.paths import ROOT

COMMANDS = {
    "train.py": ["train.py", "--help"],
    "cell_verifier": ["-m", "cell_verifier", "--help"],
    "cell_verifier, no file": ["-m", "cell_verifier", "no.py:X", "--against", "gru"],
    "gate_explorer": ["-m", "gate_explorer", "--help"],
    "benchmarks.speed": ["-m", "benchmarks.speed", "--help"],
}

BUFFERED = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    given = {"stderr": subprocess.PIPE, "cwd": ROOT, "text": True, "env": BUFFERED, "timeout": 100}
    return subprocess.run([sys.executable, *command], **(given | options))


def program(*lines: str) -> list[str]:
    """A command that runs these lines as the project's commands run theirs."""
    body = "".join(f"    {line}\n" for line in lines)
    imports = "import os, subprocess, sys\nfrom command_line.program import clean_exit\n"
    return ["-c", f"{imports}with clean_exit('program'):\n{body}"]


PRINTING = {
    "one line": ["print('line')"],
    "many lines": ["for _ in range(100_000): print('line')"],
    "rich": ["from rich.console import Console", "Console().print('line')"],
    "then exit": ["print('line')", "sys.exit(1)"],
}


@pytest.mark.parametrize("printing", PRINTING)
def test_a_closed_pipe_gives_one_line_and_status_2(printing: str) -> None:
    done = run(program(*PRINTING[printing]), stdout=closed_pipe())
    assert (done.returncode, done.stderr) == (
        2,
        "program: error: cannot write the output: Broken pipe\n",
    )


@pytest.mark.parametrize("printing", PRINTING)
def test_a_full_file_gives_one_line_and_status_2(printing: str, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        done = run(program(*PRINTING[printing]), stdout=out, preexec_fn=no_space)
    assert (done.returncode, done.stderr) == (
        2,
        "program: error: cannot write the output: File too large\n",
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_reports_an_output_that_is_closed(name: str) -> None:
    done = run(COMMANDS[name], stdout=closed_pipe())
    assert done.returncode == 2
    assert done.stderr.endswith(": error: cannot write the output: Broken pipe\n")
    assert len(done.stderr.splitlines()) == 1


def closed_pipe() -> int:
    """The descriptor of a pipe that is not read."""
    read, write = os.pipe()
    os.close(read)
    return write


def no_space() -> None:
    """In the new process: a file that is written may have 0 bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def test_an_error_is_reported_although_the_output_is_closed_too() -> None:
    error = "from command_line.errors import ConfigError; print(1); raise ConfigError('the file')"
    done = run(program(error), stdout=closed_pipe())
    assert (done.returncode, done.stderr) == (2, "program: error: the file\n")


def closing(*descriptors: int) -> Callable[[], None]:
    return lambda: [os.close(each) for each in descriptors] and None


def test_without_an_output_the_next_file_does_not_become_the_output(tmp_path: Path) -> None:
    path = tmp_path / "file"
    command = program(
        f"with open({str(path)!r}, 'w') as file:",
        "    print('printed')",
        "    subprocess.run(['echo', 'of another process'])",
        "    file.write('content')",
    )
    assert run(command, preexec_fn=closing(0, 1)).returncode == 0
    assert path.read_text() == "content"


def test_the_status_is_right_without_stderr() -> None:
    error = "from command_line.errors import ConfigError; raise ConfigError('x')"
    for stderr in (closed_pipe(), None):
        options = {"stderr": stderr} if stderr else {"preexec_fn": closing(2)}
        assert run(program(error), **options).returncode == 2


def test_a_name_that_cannot_be_encoded_is_printed_with_escapes() -> None:
    command = program(r"print('a\udcffb \u2299')")
    done = run(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\\udcffb \\u2299\n", "")


def test_an_error_of_the_system_gives_one_line() -> None:
    done = run(program("open('a' * 300)"))
    message = f"program: error: cannot use {'a' * 300}: File name too long\n"
    assert (done.returncode, done.stderr) == (2, message)


def test_a_defect_has_the_status_that_the_command_gives_it() -> None:
    lines = [
        "from command_line.program import clean_exit",
        "with clean_exit('program', defect_status=2):",
        "    1 / 0",
    ]
    done = run(["-c", "\n".join(lines)])
    assert done.returncode == 2
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_an_error_message_is_one_line_whatever_the_name() -> None:
    done = run(["train.py", "--evaluate", "no\nrun\x1b[2J"])
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert r"no run at no\nrun\x1b[2J:" in done.stderr


def test_control_characters_and_lone_surrogates_are_escaped() -> None:
    assert printable("é ⊙ a\nb\r\x1b\ud800\udcff") == r"é ⊙ a\nb\r\x1b\ud800\udcff"
    assert one_line(ValueError("a\n b\ud800")) == r"a b\ud800"


def test_an_error_whose_str_raises_has_a_message() -> None:
    class SilentError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert one_line(SilentError()) == "no message: its __str__ raises RuntimeError"


def test_the_output_is_restored() -> None:
    before = sys.stdout
    with checked_output():
        assert sys.stdout is not before
    assert sys.stdout is before
