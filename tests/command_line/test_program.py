"""command_line/program.py: one line for every mistake, and the exit status with it."""

import dataclasses
import io
import re
import signal
import sys
from pathlib import Path

import pytest
import torch

from command_line.errors import ConfigError, LostProcessError, Stopped
from command_line.program import clean_exit, parse_arguments
from sequenced_mnist import DataError
from shared_interface import ImplementationError
from training_loop.commands.options import parse_options
from training_loop.config import Config

OPTIONS = {
    "--cell": "gru",
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
FLAGS = ("--bidirectional", "--validation", "--compile")


def parse(*arguments: str) -> Config:
    return parse_arguments(Config, "train.py", arguments)


def test_every_option_reaches_its_field() -> None:
    arguments = [str(word) for option in OPTIONS.items() for word in option]
    config = parse(*arguments, *FLAGS)
    fields = {option[2:].replace("-", "_"): value for option, value in OPTIONS.items()}
    flags = {"bidirectional": True, "validation": True, "compile": True}
    assert dataclasses.asdict(config) == fields | flags


def test_without_arguments_every_option_has_its_default() -> None:
    assert parse() == Config()


def test_help_has_every_option_once_with_a_line_on_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        parse("--help")
    assert not exit.value.code
    out, err = capsys.readouterr()
    assert err == ""
    listed = re.findall(r"^[│ ]*(--[a-z][a-z0-9-]*)", out, flags=re.MULTILINE)
    assert sorted(listed) == sorted([*OPTIONS, *FLAGS])
    assert out.count("(default:") == len(listed)
    assert "(default: 2; digits: " in out


def test_the_whole_help_fits_its_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_options(["--help"])
    out, _ = capsys.readouterr()
    listed = re.findall(r"^[│ ]*(--[a-z][a-z0-9-]*)", out, flags=re.MULTILINE)
    assert sorted(listed) == sorted([*OPTIONS, *FLAGS, "--resume", "--evaluate", "--compare"])


@pytest.mark.parametrize("option", ["resume", "evaluate"])
def test_a_run_is_named_by_its_folder(option: str, tmp_path: Path) -> None:
    saved = Config(cell="gru", epochs=7, device="cpu", run_dir=Path("as/it/was"))
    (tmp_path / "config.json").write_text(saved.to_json())
    request = parse_options([f"--{option}", str(tmp_path), "--device", "auto"])
    assert getattr(request, option) == tmp_path
    assert request.config == dataclasses.replace(saved, device="auto", run_dir=tmp_path)


def test_one_thing_at_a_time(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^resume and compare are given: expected one of them"):
        parse_options(["--resume", "a", "--compare", "b", "c"])


def test_one_run_cannot_be_compared() -> None:
    with pytest.raises(ConfigError, match=r"^compare is of 1 run: expected two or more"):
        parse_options(["--compare", "a"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cell", "lsm"], "invalid choice 'lsm' for argument '--cell'.*'rnn', 'gru', 'lstm'"),
        (["--device", "tpu"], "invalid choice 'tpu' for argument '--device'"),
        (["--epochs", "two"], "Error parsing --epochs:.*'two'"),
        (["--learning-rate", "fast"], "Error parsing --learning-rate:.*'fast'"),
        (["--hidden-size"], "Missing value for argument '--hidden-size'"),
        (["--hidden", "3"], "Unrecognized options: --hidden, 3"),
        (["--no-bidirectional"], "Unrecognized options: --no-bidirectional"),
        (["stray"], "Unrecognized options: stray"),
        (["--epochs", "0"], "^epochs is 0: expected at least 1$"),
        (["--dropout", "2"], "^dropout is 2.0: expected a probability from 0 to 1$"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("on_a_terminal", [False, True])
def test_a_bad_argument_is_told_in_one_plain_line(
    arguments: list[str],
    message: str,
    on_a_terminal: bool,
    encoding: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """tyro draws with lines or with dashes, in colours or without, as stdout allows."""
    stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(stdout, "isatty", lambda: on_a_terminal)
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setenv("TERM", "xterm-256color")
    with pytest.raises(ConfigError, match=message) as error:
        parse(*arguments)
    assert str(error.value).isprintable()  # no new line, no colours
    assert not set("│─╭╰|") & set(str(error.value))
    assert capsys.readouterr() == ("", "")
    assert stdout.tell() == 0


@pytest.mark.parametrize("kind", [ConfigError, DataError, ImplementationError])
def test_a_refusal_is_one_line_and_status_2(
    kind: type[ValueError], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit, clean_exit("program"):
        raise kind("what, and the remedy")
    assert exit.value.code == 2
    assert capsys.readouterr() == ("", "program: error: what, and the remedy\n")


def test_an_interrupt_is_one_line_and_status_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit, clean_exit("program"):
        raise KeyboardInterrupt
    assert exit.value.code == 130
    assert capsys.readouterr() == ("", "program: interrupted\n")


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGINT, 130, "interrupted; saved, go on"),
        (signal.SIGTERM, 143, "terminated; saved, go on"),
    ],
)
def test_a_stopped_run_is_one_line_and_the_signals_status(
    number: int,
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for rank, line in (("0", f"program: {said}\n"), ("1", "")):  # one process speaks for all
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(SystemExit) as exit, clean_exit("program"):
            raise Stopped(number, "saved, go on")
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
def test_a_lost_process_is_one_line_and_status_1(
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


def test_nothing_happens_where_nothing_happens() -> None:
    with clean_exit("program"):
        pass
