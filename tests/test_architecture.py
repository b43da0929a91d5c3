"""Imports follow the direction that docs/explanation/architecture.md describes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.imports import Import, find_cycles, imports_of
from tests.helpers.paths import ROOT

BASE = {"command_line", "shared_interface", "sequenced_mnist"}
LAYERS = {"scratch_cells", "builtin_models"}
TOP = {
    "training_loop",
    "gate_explorer",
    "conversion",
    "exercises",
    "benchmarks",
    "examples",
    "docs",
    "train",
}
PACKAGES = BASE | LAYERS | TOP | {"cell_verifier"}

# Package -> the packages that it must not import.
FORBIDDEN = {
    **dict.fromkeys(BASE, PACKAGES),
    **{package: PACKAGES - {"shared_interface"} for package in LAYERS},
    "cell_verifier": LAYERS | TOP | {"sequenced_mnist"},
    "training_loop": TOP - {"training_loop"},
    "conversion": TOP - {"conversion"} | {"builtin_models", "sequenced_mnist"},
    "gate_explorer": {"train", "exercises", "benchmarks", "examples", "docs"},
    "exercises": {"train", "benchmarks", "examples", "docs"},
}

# The files that a reader of one cell opens must not lead into the fast backends.
CELL_FILES = {f"scratch_cells.{name}" for name in ("rnn", "gru", "lstm", "cell", "unroll")}


def violations(imports: list[Import]) -> list[str]:
    """The imports that point the wrong way."""
    return [str(each) for each in imports if _points_the_wrong_way(each)]


def _points_the_wrong_way(each: Import) -> bool:
    importer, imported = each.importer.split(".")[0], each.imported.split(".")[0]
    if importer == "tests":
        return False
    if imported == "tests":
        return True
    if each.importer in CELL_FILES and each.imported.startswith("scratch_cells.backends"):
        return True
    if importer == imported:
        return False
    return imported in FORBIDDEN.get(importer, set())


def cycles(imports: list[Import]) -> list[list[str]]:
    """Groups of modules that import one another, in functions and for annotations included."""
    return find_cycles((each.importer, each.imported) for each in imports)


def test_imports_point_one_way() -> None:
    assert "\n".join(violations(imports_of(ROOT))) == ""


def test_there_are_no_import_cycles() -> None:
    assert "\n".join(map(str, cycles(imports_of(ROOT)))) == ""


def test_command_line_does_not_import_torch() -> None:
    """So that --help and a bad option are answered at once."""
    modules = [f"command_line.{path.stem}" for path in (ROOT / "command_line").glob("[a-z]*.py")]
    program = f"import sys, {', '.join(modules)}; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


# --- the checks find what they should ---------------------------------------------------------


def tree(folder: Path, files: dict[str, str]) -> list[Import]:
    """The imports of a small project with these files."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return imports_of(folder)


# importer, imported: each breaks one rule
WRONG_DIRECTIONS = [
    ("command_line/program", "shared_interface/recurrent"),
    ("shared_interface/classifier", "scratch_cells/lstm"),
    ("sequenced_mnist/images", "training_loop/config"),
    ("scratch_cells/layers", "builtin_models/layers"),
    ("scratch_cells/layers", "training_loop/config"),
    ("scratch_cells/lstm", "scratch_cells/backends/bptt"),
    ("scratch_cells/unroll", "scratch_cells/backends/bptt"),
    ("builtin_models/layers", "scratch_cells/layers"),
    ("builtin_models/layers", "command_line/files"),
    ("shared_interface/implementations", "command_line/load_object"),
    ("sequenced_mnist/download", "command_line/files"),
    ("scratch_cells/layers", "command_line/errors"),
    ("cell_verifier/reference/equations", "scratch_cells/lstm"),
    ("cell_verifier/api", "builtin_models/layers"),
    ("cell_verifier/api", "training_loop/config"),
    ("cell_verifier/api", "exercises/exercise"),
    ("cell_verifier/formats/verify", "conversion/spec"),
    ("conversion/spec", "builtin_models/layers"),
    ("scratch_cells/convert", "conversion/onnx"),
    ("training_loop/trainer", "gate_explorer/observe"),
    ("training_loop/trainer", "train"),
    ("gate_explorer/observe", "benchmarks/speed"),
    ("gate_explorer/observe", "exercises/exercise"),
    ("exercises/checking/judge", "examples/custom_cell"),
    ("gate_explorer/observe", "tests/helpers/runs"),
]


@pytest.mark.parametrize(("importer", "imported"), WRONG_DIRECTIONS)
def test_a_wrong_import_is_found(importer: str, imported: str, tmp_path: Path) -> None:
    module = imported.replace("/", ".")
    base, _, name = module.rpartition(".")
    statements = [f"import {module}\n", f"def late() -> None:\n    import {module}\n"]
    statements += [f"from {base} import {name}\n"] if base else []
    typing = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "
    for statement in [*statements, typing + statements[0]]:
        imports = tree(tmp_path, {f"{imported}.py": "", f"{importer}.py": statement})
        found = violations(imports)
        assert len(found) == 1
        assert f"imports {module} (line " in found[0]


def test_right_imports_are_left_alone(tmp_path: Path) -> None:
    imports = tree(
        tmp_path,
        {
            "command_line/errors.py": "import torch\n",
            "cell_verifier/api.py": "from command_line import errors\n",
            "shared_interface/implementations.py": "",
            "scratch_cells/__init__.py": "from .lstm import LSTM\n",
            "scratch_cells/lstm.py": "import shared_interface.implementations\n",
            "scratch_cells/layers.py": "from scratch_cells import backends, lstm\n",
            "scratch_cells/backends/__init__.py": "",
            "training_loop/trainer.py": "import scratch_cells.lstm, command_line.errors\n",
            "train.py": "from training_loop import trainer\n",
            "tests/test_train.py": "import train, cell_verifier\n",
        },
    )
    assert len(imports) == 9
    assert violations(imports) == []
    assert cycles(imports) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("from package import b\n", "from package.a import f\n"),
        ("from . import b\n", "from .a import f\n"),
        ("def f():\n    import package.b\n", "import package.a\n"),
    ],
)
def test_a_cycle_is_found(first: str, second: str, tmp_path: Path) -> None:
    files = {"package/__init__.py": "", "package/a.py": first, "package/b.py": second}
    assert cycles(tree(tmp_path, files)) == [["package.a", "package.b"]]


def test_a_cycle_of_three_is_found_once(tmp_path: Path) -> None:
    files = {
        "package/__init__.py": "",
        "package/a.py": "import package.b\n",
        "package/b.py": "import package.c\nimport package.d\n",
        "package/c.py": "import package.a\n",
        "package/d.py": "",
    }
    assert cycles(tree(tmp_path, files)) == [["package.a", "package.b", "package.c"]]
