"""command_line/load_object.py: FILE.py:NAME or package.module:NAME becomes an object."""

import dataclasses
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import builtin_models
import scratch_cells
from command_line.errors import ConfigError
from command_line.load_object import load_object
from shared_interface import implementation_target


@pytest.fixture(autouse=True)
def same_path_and_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_the_two_implementations_are_loaded(kind: str) -> None:
    scratch = load_object(implementation_target("scratch", kind))
    builtin = load_object(implementation_target("builtin", kind))
    assert scratch is getattr(scratch_cells, kind.upper())
    assert builtin is getattr(builtin_models, kind.upper())


def test_a_module_is_imported_by_its_name() -> None:
    assert load_object("pathlib:Path") is Path


def test_a_file_finds_the_files_next_to_it_now_and_later(tmp_path: Path) -> None:
    (tmp_path / "neighbour_now.py").write_text("SIZE = 7\n")
    (tmp_path / "neighbour_later.py").write_text("SIZE = 8\n")
    path = tmp_path / "mine.py"
    path.write_text(
        "from neighbour_now import SIZE\n"
        "def mine():\n"
        "    import neighbour_later\n"
        "    return SIZE, neighbour_later.SIZE\n"
    )
    assert load_object(f"{path}:mine")() == (7, 8)


def test_a_file_hides_no_module_of_its_name_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("mine = 1\n")
    (tmp_path / "colorsys.py").write_text("mine = 2\n")
    assert load_object(f"{tmp_path / 'random.py'}:mine") == 1
    import colorsys  # a module of Python that nothing here has imported before
    import random

    assert hasattr(random, "shuffle")
    assert hasattr(colorsys, "rgb_to_hsv")


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    targets = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "mine.py"
        file.write_text(f"class Mine:\n    folder = {folder!r}\n")
        targets.append(f"{file}:Mine")
    first, second = map(load_object, targets)
    assert (first.folder, second.folder) == ("a", "b")
    assert first.__module__ != second.__module__
    assert sys.modules[first.__module__].Mine is first


def test_dataclasses_and_pickle_work_in_a_loaded_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import KW_ONLY, dataclass\n"
        "@dataclass\nclass Mine:\n    a: int\n    _: KW_ONLY\n    b: int = 2\n"
    )
    mine = load_object(f"{path}:Mine")(1, b=3)
    assert pickle.loads(pickle.dumps(mine)) == mine
    assert dataclasses.asdict(mine) == {"a": 1, "b": 3}


def test_an_edited_file_is_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("mine = 1\n")
    assert load_object(f"{path}:mine") == 1
    path.write_text("mine = 1234\n")
    assert load_object(f"{path}:mine") == 1234


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("magic", "'magic' does not name an object: expected FILE.py:NAME or package.module:NAME"),
        (":Mine", "':Mine' does not name an object: expected"),
        ("mine.py:", "'mine.py:' does not name an object: expected"),
        ("no_such_file.py:Mine", "no_such_file.py is not a file: give the path of a Python file"),
        ("no_such_module:Mine", "cannot import 'no_such_module': ModuleNotFoundError"),
        (f"{'a' * 300}.py:Mine", f"cannot read {'a' * 300}.py: File name too long"),
        ("torch.nn:LSMT", "torch.nn has no 'LSMT': did you mean 'LSTM'?"),
        ("string:xyz", "string has no 'xyz': it defines "),
    ],
)
def test_a_target_that_does_not_exist_gives_one_line(target: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_object(target)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\nraise KeyError('no\\nluck')\n", r"broken.py:2: KeyError: 'no\nluck'"),
        ("def mine(:\n", "broken.py:1: SyntaxError: "),
        ("import sys\n\nsys.exit(3)\n", "broken.py:3: SystemExit: 3"),
        ("raise GeneratorExit\n", "broken.py:1: GeneratorExit"),
        ("import json\n\njson.loads('{')\n", "broken.py:3: JSONDecodeError: Expecting"),
    ],
)
def test_a_file_that_raises_gives_its_own_line_and_leaves_nothing(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text)
    before, modules = list(sys.path), set(sys.modules)
    with pytest.raises(ConfigError) as caught:
        load_object(f"{path}:mine")
    assert str(caught.value).startswith(f"cannot import {path}: {message}")
    assert "\n" not in str(caught.value)
    assert sys.path == before
    assert not [name for name in set(sys.modules) - modules if name.startswith("broken")]


def test_a_name_that_is_missing_lists_what_the_file_defines(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from pathlib import Path\nclass Other: pass\ndef make(): pass\nx = 1\n")
    with pytest.raises(ConfigError, match=r"has no 'Zzz': it defines Other, make$"):
        load_object(f"{path}:Zzz")


def test_ctrl_c_during_an_import_is_not_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "slow.py"
    path.write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_object(f"{path}:Mine")


def test_a_notebook_gives_a_message_that_helps(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a notebook: save the class in a Python file"):
        load_object(f"{tmp_path / 'mine.ipynb'}:MyLSTM")
