"""command_line/program.py: options become fields; errors become one line and an exit status."""

import dataclasses
import io
import re
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
import torch
import tyro

from cell_verifier.errors import CannotCheckError
from command_line.errors import ConfigError, LostProcessError, Stopped
from command_line.program import clean_exit, parse_arguments
from gate_explorer import ExplorerError
from sequenced_mnist import DataError
from shared_interface import ImplementationError
from training_loop.commands.options import parse_options
from training_loop.config import Config

OPTIONS = {
    "--cell": "gru",
    "--backend": "bptt",
    "--implementation": "builtin",
    "--dataset": "kmnist",
    "--sequence": "permuted",
    "--hidden-size": 12,
    "--num-layers": 3,
    "--dropout": 0.5,
    "--recipe": "tutorial",
    "--epochs": 4,
    "--batch-size": 6,
    "--learning-rate": 0.25,
    "--schedule": "constant",
    "--warm-up": 0.25,
    "--beta2": 0.75,
    "--init": "chrono",
    "--clip-norm": 2.5,
    "--seed": 8,
    "--device": "cpu",
    "--precision": "bf16",
    "--checkpoint-every": 9,
    "--data-dir": Path("here"),
    "--run-dir": Path("there"),
}
TASK = {"--task": "copy", "--length": 7}
"""Not together with options of images."""
FLAGS = ("--bidirectional", "--validation", "--compile")


def parse(*arguments: str) -> Config:
    return parse_arguments(Config, "train.py", arguments)


def test_every_option_reaches_its_field() -> None:
    arguments = [str(word) for option in OPTIONS.items() for word in option]
    config = parse(*arguments, *FLAGS)
    fields = {option[2:].replace("-", "_"): value for option, value in OPTIONS.items()}
    flags = {"bidirectional": True, "validation": True, "compile": True}
    flags |= {"task": "mnist", "length": None}
    assert dataclasses.asdict(config) == fields | flags


def test_the_options_of_a_task_reach_their_fields() -> None:
    arguments = [str(word) for option in TASK.items() for word in option]
    assert parse(*arguments) == Config(task="copy", length=7)


def test_options_that_are_not_given_have_their_defaults() -> None:
    assert parse() == Config()


def test_help_lists_every_option_once_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        parse("--help")
    assert not exit.value.code
    out, err = capsys.readouterr()
    assert err == ""
    listed = re.findall(r"^[│ ]*(--[a-z][a-z0-9-]*)", out, flags=re.MULTILINE)
    assert sorted(listed) == sorted([*OPTIONS, *TASK, *FLAGS])
    assert out.count("(default:") == len(listed)
    assert "(default: 2; digits: " in out


def test_help_of_train_py_lists_its_four_commands_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_options(["--help"])
    out, _ = capsys.readouterr()
    listed = re.findall(r"^[│ ]*(--[a-z][a-z0-9-]*)", out, flags=re.MULTILINE)
    assert sorted(listed) == sorted(
        [*OPTIONS, *TASK, *FLAGS, "--resume", "--evaluate", "--compare"]
    )


@pytest.mark.parametrize("option", ["resume", "evaluate"])
def test_resume_and_evaluate_take_the_options_of_the_run(option: str, tmp_path: Path) -> None:
    saved = Config(cell="gru", epochs=7, device="cpu", run_dir=Path("as/it/was"))
    (tmp_path / "config.json").write_text(saved.to_json())
    request = parse_options([f"--{option}", str(tmp_path), "--device", "auto"])
    assert getattr(request, option) == tmp_path
    assert request.config == dataclasses.replace(saved, device="auto", run_dir=tmp_path)


def test_two_commands_at_once_raise(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^resume and compare are given: expected one of them"):
        parse_options(["--resume", "a", "--compare", "b", "c"])


def test_comparing_no_run_raises() -> None:
    with pytest.raises(ConfigError, match=r"^--compare has no value: expected a path$"):
        parse_options(["--compare"])


def test_comparing_one_run_raises() -> None:
    with pytest.raises(ConfigError, match=r"^compare is given 1 run: expected two or more"):
        parse_options(["--compare", "a"])


@pytest.mark.parametrize("argument", ["--epochs=3", "--epochs 3"])
@pytest.mark.parametrize("name", ["--hidden-size", "--hidden_size"])
def test_both_spellings_of_an_option_are_accepted(argument: str, name: str) -> None:
    assert parse(*argument.split(), f"{name}=5") == Config(epochs=3, hidden_size=5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cel", "gru"], "unrecognized option --cel: did you mean --cell?"),
        (["--hidden", "3"], "unrecognized option --hidden: did you mean --hidden-size?"),
        (["--hiden_size=3"], "unrecognized option --hiden-size: did you mean --hidden-size?"),
        (["--zzz"], "unrecognized option --zzz: see --help"),
        (["--epochs", "two"], "--epochs is 'two': expected an integer"),
        (["--epochs=2.5"], "--epochs is '2.5': expected an integer"),
        (["--learning-rate", "fast"], "--learning-rate is 'fast': expected a number"),
        (["--cell", "lsm"], "--cell is 'lsm': expected rnn, gru or lstm"),
        (["--device=tpu"], "--device is 'tpu': expected auto, cpu, cuda or mps"),
        (
            ["--init", "zero"],
            "--init is 'zero': expected torch, orthogonal, chrono or uniform-gate",
        ),
        (["--hidden-size"], "--hidden-size has no value: expected an integer"),
        (["--hidden-size", "--seed", "1"], "--hidden-size has no value: expected an integer"),
        (["--data-dir"], "--data-dir has no value: expected a path"),
        (["stray"], "unexpected argument 'stray': see --help"),
        (["--seed", "1", "2"], "unexpected argument '2': see --help"),
        (["--epochs", "0"], "epochs is 0: expected at least 1"),
        (["--dropout", "2"], "dropout is 2.0: expected a probability from 0 to 1"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("on_a_terminal", [False, True])
@pytest.mark.parametrize("variable", ["NO_COLOR", "FORCE_COLOR", "COLUMNS"])
def test_a_bad_argument_gives_one_line_on_any_terminal(
    arguments: list[str],
    message: str,
    on_a_terminal: bool,
    encoding: str,
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The message depends neither on the encoding nor on colours nor on the width (20 columns)."""
    stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(stdout, "isatty", lambda: on_a_terminal)
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv(variable, "20")
    with pytest.raises(ConfigError) as error:
        parse(*arguments)
    assert str(error.value) == message
    assert capsys.readouterr() == ("", "")
    assert stdout.tell() == 0


@dataclasses.dataclass(frozen=True)
class Required:
    """A command with required arguments."""

    target: tyro.conf.Positional[str]
    """What to check."""
    against: Literal["rnn", "gru"]
    """What to compare with."""
    size: Annotated[int | None, tyro.conf.arg(constructor=int)] = None
    """A size."""
    sizes: tuple[int, ...] = ()
    """Several sizes."""
    flag: bool = False
    """A flag."""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "the argument TARGET is missing: expected a string"),
        ("--against rnn", "the argument TARGET is missing: expected a string"),
        ("file", "the option --against is missing: expected rnn or gru"),
        ("file --agains rnn", "unrecognized option --agains: did you mean --against?"),
        ("file --against", "--against has no value: expected rnn or gru"),
        ("file --against lstm", "--against is 'lstm': expected rnn or gru"),
        ("file other --against rnn", "unexpected argument 'other': see --help"),
        ("file --against rnn --size x", "--size is 'x': expected an integer"),
        ("--flag file --against rnn --sizes 1 2 x", "--sizes is 'x': expected an integer"),
        ("--flag file --no-flag --against rnn", "unrecognized option --no-flag: did you mean --fl"),
        ("file --against rnn --sizes", "--sizes has no value: expected an integer"),
        ("file --sizes --against rnn", "--sizes has no value: expected an integer"),
        ("file --against rnn --flag=yes", "--flag is 'yes': expected no value"),
    ],
)
def test_required_arguments_and_lists_are_named(arguments: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_arguments(Required, "program", arguments.split())
    assert str(error.value).startswith(message)


def test_arguments_that_tyro_accepts_are_accepted() -> None:
    arguments = ["--sizes", "1", "2", "--flag", "--size=-3", "file", "--against", "gru"]
    options = parse_arguments(Required, "program", arguments)
    assert options == Required("file", "gru", -3, (1, 2), True)


def test_help_of_a_command_with_required_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        parse_arguments(Required, "program", ["--help"])
    assert not exit.value.code
    assert "What to compare with." in capsys.readouterr().out


@pytest.mark.parametrize(
    "kind", [ConfigError, DataError, ImplementationError, ExplorerError, CannotCheckError]
)
def test_a_users_error_gives_one_line_and_status_2(
    kind: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit, clean_exit("program"):
        raise kind("what, and the remedy")
    assert exit.value.code == 2
    assert capsys.readouterr() == ("", "program: error: what, and the remedy\n")


def test_ctrl_c_gives_one_line_and_status_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit, clean_exit("program"):
        raise KeyboardInterrupt
    assert exit.value.code == 130
    assert capsys.readouterr() == ("", "program: interrupted\n")


@pytest.mark.parametrize(
    ("number", "status", "message"),
    [
        (signal.SIGINT, 130, "interrupted; saved, resume it"),
        (signal.SIGTERM, 143, "terminated; saved, resume it"),
    ],
)
def test_a_stopped_run_gives_one_line_and_the_status_of_its_signal(
    number: int,
    status: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for rank, line in (("0", f"program: {message}\n"), ("1", "")):  # only one process prints
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(SystemExit) as exit, clean_exit("program"):
            raise Stopped(number, "saved, resume it")
        assert exit.value.code == status
        assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(
    "error",
    [
        LostProcessError(),
        RuntimeError("[/src/third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection closed"),
        torch.distributed.DistNetworkError("the client socket has timed out"),
    ],
)
def test_a_lost_process_gives_one_line_and_status_1(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit, clean_exit("program"):
        raise error
    assert exit.value.code == 1
    assert capsys.readouterr() == ("", "program: error: another process of the run has ended\n")


@pytest.mark.parametrize("kind", [ValueError, RuntimeError])
def test_a_defect_keeps_its_traceback(kind: type[Exception]) -> None:
    with pytest.raises(kind, match="a defect"), clean_exit("program"):
        raise kind("a defect")


def test_a_program_without_an_error_ends_normally() -> None:
    with clean_exit("program"):
        pass
