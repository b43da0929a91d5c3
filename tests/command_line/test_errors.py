"""command_line/errors.py: the message of an error for its user."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from command_line.errors import (
    LostProcessError,
    Stopped,
    is_lost_connection,
    one_line,
    own_line,
    type_and_message,
)
from command_line.load_object import load_object
from tests.helpers.paths import ROOT


def test_command_line_does_not_import_torch() -> None:
    modules = "argument_errors", "errors", "files", "load_object", "program"
    imports = "; ".join(f"import command_line.{name}" for name in modules)
    program = f"{imports}; import sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_a_message_of_several_lines_becomes_one_line() -> None:
    assert one_line(ValueError("a\n\n  b\tc ")) == "a b c"
    assert type_and_message(ValueError("a\n  b")) == "ValueError: a b"
    assert type_and_message(ValueError()) == "ValueError"


def test_an_error_in_a_library_is_located_in_the_users_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import json\n\ndef mine():\n    return json.loads('{')\n")
    with pytest.raises(json.JSONDecodeError) as caught:
        load_object(f"{path}:mine")()
    assert own_line(caught.value).startswith("mine.py:4: JSONDecodeError: Expecting property name")


def test_an_error_without_a_traceback_has_no_location() -> None:
    assert own_line(TypeError("no\nluck")) == "TypeError: no luck"


@pytest.mark.parametrize(
    ("number", "remedy", "message", "status"),
    [
        (signal.SIGINT, "", "interrupted", 130),
        (signal.SIGTERM, "saved", "terminated; saved", 143),
    ],
)
def test_stopped_gives_the_signal_and_the_remedy(
    number: int, remedy: str, message: str, status: int
) -> None:
    stopped = Stopped(number, remedy)
    assert (str(stopped), stopped.exit_status) == (message, status)
    assert not isinstance(stopped, Exception)


def test_a_lost_process_gives_the_remedy() -> None:
    message = "another process of the run has ended; resume it"
    assert str(LostProcessError("resume it")) == message
    assert LostProcessError.exit_status == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.distributed.DistBackendError("NCCL error"), True),
        (RuntimeError("[/src/third_party/gloo/gloo/transport/tcp/pair.cc:561] closed"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("/gloo/"), False),
    ],
)
def test_only_errors_of_the_connection_are_recognized(error: Exception, expected: bool) -> None:
    assert is_lost_connection(error) is expected
