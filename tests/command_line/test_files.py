"""command_line/files.py: a file is written completely or not at all."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from command_line.errors import ConfigError
from command_line.files import atomic_write, write_errors_as_config_errors
from tests.helpers.paths import ROOT


def write(path: Path, content: bytes, error: BaseException | None = None) -> None:
    with atomic_write(path) as file:
        file.write(content)
        if error is not None:
            raise error


def test_a_file_is_created_and_replaced(tmp_path: Path) -> None:
    target = tmp_path / "file"
    for content in (b"one", b"two, which is longer", b"3"):
        write(target, content)
        assert target.read_bytes() == content
        assert os.listdir(tmp_path) == ["file"]


def test_the_old_content_is_there_until_the_new_content_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with atomic_write(target) as file:
        file.write(b"new")
        file.flush()
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError()]
)
def test_an_error_leaves_the_old_content_and_no_temporary_file(
    error: BaseException, tmp_path: Path
) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises(type(error)):
        write(target, b"half", error)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_the_previous_content_is_kept_under_its_own_name(tmp_path: Path) -> None:
    target, previous = tmp_path / "file", tmp_path / "previous"
    for content in (b"1", b"2", b"3"):
        with atomic_write(target, previous=previous) as file:
            file.write(content)
    assert (target.read_bytes(), previous.read_bytes()) == (b"3", b"2")
    assert sorted(os.listdir(tmp_path)) == ["file", "previous"]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions_are_those_of_a_new_file(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "folder" / "file")
    write(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "folder" / "file").read_bytes() == b"new"
    assert os.listdir(tmp_path / "folder") == ["file"]


def test_a_pipe_is_written_to_and_not_replaced() -> None:
    program = (
        "from pathlib import Path\n"
        "from command_line.files import atomic_write\n"
        "with atomic_write(Path('/dev/stdout')) as file:\n"
        "    file.write(b'text')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"text", b"")


@pytest.mark.parametrize("name", ["missing/file", "plain/file", "folder"])
def test_a_path_that_cannot_be_written_gives_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    path = tmp_path / name
    with (
        pytest.raises(ConfigError, match=f"^--out is {path}: cannot write there \\([A-Z].*\\)$"),
        write_errors_as_config_errors("--out", path),
    ):
        write(path, b"")
    assert sorted(os.listdir(tmp_path)) == ["folder", "plain"]


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)
    write(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_to_itself_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "link"
    path.symlink_to(path)
    with (
        pytest.raises(ConfigError, match="cannot write there"),
        write_errors_as_config_errors("--out", path),
    ):
        write(path, b"")
    assert path.is_symlink()


def test_a_name_of_255_bytes_can_be_written(tmp_path: Path) -> None:
    for name in ("a" * 255, "⊙" * 85):
        write(tmp_path / name, b"content")
        assert (tmp_path / name).read_bytes() == b"content"
