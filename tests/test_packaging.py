"""A wheel works without the checkout; the hooks of pre-commit are the commands of make lint."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.helpers.backends import needs_c
from tests.helpers.paths import ROOT

PACKAGES = (
    "command_line",
    "scratch_cells",
    "builtin_models",
    "shared_interface",
    "sequenced_mnist",
    "training_loop",
    "cell_verifier",
    "conversion",
    "gate_explorer",
    "exercises",
)
CELL = "from torch import nn\n\n\nclass MyLSTM(nn.LSTMCell):\n    pass\n"


def run(*command: object, folder: Path, **environment: str) -> str:
    """What a command prints, in a folder and an environment without the checkout."""
    done = subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources: a build writes next to them."""
    pytest.importorskip("pip", reason="no pip in this environment")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "train.py"):
        shutil.copy(ROOT / name, source)
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    run(sys.executable, "-m", "pip", "wheel", source, *options, folder=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python in a new environment with the wheel, and the dependencies of this environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = Path(
        run(python, "-c", "import site; print(site.getsitepackages()[0])", folder=folder)[:-1]
    )
    options = ("--no-deps", "--no-index", "--target", site)
    run(sys.executable, "-m", "pip", "install", *options, wheel, folder=folder)
    dependencies = sysconfig.get_path("purelib")
    (site / "dependencies.pth").write_text(f"import site; site.addsitedir({dependencies!r})\n")
    return python


@pytest.mark.slow
def test_the_wheel_contains_every_file_of_the_packages(wheel: Path) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", ".c", ".h", ".html", ".css", ".js", ".typed"}
    }
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == expected | {"train.py"}
    assert "scratch_cells/backends/c_kernels/kernels.c" in names


@pytest.mark.slow
def test_every_command_works_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    find = "import importlib.util; print(importlib.util.find_spec('scratch_cells').origin)"
    where = run(installed, "-c", find, folder=tmp_path)
    assert where.startswith(str(installed.parents[1]))
    options = ("--dataset", "digits", "--epochs", 1, "--hidden-size", 8, "--run-dir", "run")
    printed = run(installed, "-m", "train", *options, folder=tmp_path)
    assert "result  digits: test accuracy" in printed
    (tmp_path / "my_cell.py").write_text(CELL)
    printed = run(
        installed, "-m", "cell_verifier", "my_cell.py:MyLSTM", "--against", "lstm", folder=tmp_path
    )
    assert printed.startswith("equal  MyLSTM")
    assert "lstm_step" in run(installed, "-m", "exercises", "list", folder=tmp_path)
    run(installed, "-m", "exercises", "notebooks", folder=tmp_path)
    run(installed, "-m", "gate_explorer", "run", "--label", 7, folder=tmp_path)
    assert "<html" in (tmp_path / "run" / "explorer.html").read_text(encoding="utf-8")


@pytest.mark.slow
@needs_c
def test_the_wheel_compiles_its_c_kernels(installed: Path, tmp_path: Path) -> None:
    program = "import torch, scratch_cells; scratch_cells.LSTM(3, 4)(torch.randn(5, 2, 3))"
    run(installed, "-W", "error", "-c", program, folder=tmp_path, XDG_CACHE_HOME=str(tmp_path))
    assert len(list(tmp_path.rglob("*.so"))) == 1


def test_pre_commit_runs_what_make_lint_runs() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    assert re.findall(r"entry: (.*)", hooks) == recipe[1].replace("\t", "").splitlines()
