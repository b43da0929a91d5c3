"""Real faults of a run: each gives one clear line, and no result is lost."""

import io
import os
import pickle
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from command_line.errors import ConfigError, OutputError
from tests.helpers.runs import (
    ENVIRONMENT,
    TRAIN,
    assert_same_results,
    interrupt,
    metrics,
    run_here,
    saved,
    small,
    start,
    wait_for,
)
from train import train
from training_loop.commands.evaluate import evaluate
from training_loop.config import Config
from training_loop.reports import plots
from training_loop.runs.checkpoint import (
    CURRENT,
    PREVIOUS,
    CheckpointError,
    read,
    read_latest,
    write,
)
from training_loop.runs.folder import new_folder
from training_loop.trainer import DivergedError, Trainer

pytestmark = pytest.mark.usefixtures("blank_plots")


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run stopped after step 14, with checkpoints of steps 14 and 12."""
    interrupt(small(tmp_path, checkpoint_every=6), monkeypatch, 14)
    return tmp_path / "run"


def damage(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    if how == "emptied":
        content = bytearray()
    if how == "a bit flipped in a tensor":
        content[-5] ^= 1
    if how == "a digit changed in the text":
        place = content.index(b"learning_rate") + 20
        content[place] ^= 1
    file.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", ["truncated", "emptied", "a bit flipped in a tensor", "a digit changed in the text"]
)
def test_a_damaged_checkpoint_gives_a_warning_and_the_previous_one_is_used(
    how: str, interrupted: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    damage(interrupted / CURRENT, how)
    with pytest.raises(CheckpointError, match=rf"^{interrupted / CURRENT} is damaged"):
        read(interrupted / CURRENT)
    latest, warning = read_latest(interrupted)
    assert latest.step == 12
    train(saved(interrupted), resume=True)
    assert capsys.readouterr().out.count(warning) == 1
    assert warning.isprintable()
    assert warning.endswith(": using the previous checkpoint")
    whole = train(small(tmp_path / "whole", checkpoint_every=6))
    assert_same_results(interrupted, whole)


def test_two_damaged_checkpoints_are_an_error(interrupted: Path) -> None:
    for name in (CURRENT, PREVIOUS):
        damage(interrupted / name, "truncated")
    before = {path.name: path.read_bytes() for path in interrupted.glob("checkpoint*")}
    with pytest.raises(ConfigError, match=r"is damaged .*: start a new run") as error:
        train(saved(interrupted), resume=True)
    assert str(error.value).isprintable()
    assert {path.name: path.read_bytes() for path in interrupted.glob("checkpoint*")} == before


def test_a_file_of_another_program_is_not_a_checkpoint(interrupted: Path) -> None:
    (interrupted / PREVIOUS).unlink()
    save_file({"weight": torch.ones(3)}, interrupted / CURRENT)
    with pytest.raises(ConfigError, match=f"^{interrupted / CURRENT} is not a checkpoint"):
        train(saved(interrupted), resume=True)


def test_a_checkpoint_of_another_model_is_rejected(interrupted: Path) -> None:
    captured = read(interrupted / CURRENT)
    renamed = {
        name.replace("layer.", "other."): tensor for name, tensor in captured.tensors.items()
    }
    write(type(captured)(renamed, captured.metadata), interrupted)
    with pytest.raises(ConfigError, match=r"the checkpoint is of another model: .*layer\.weight"):
        train(saved(interrupted), resume=True)


class Bomb:
    """Its pickle writes a file when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.target, "executed")


@pytest.mark.parametrize("saved_by", ["pickle", "torch"])
def test_no_code_in_a_file_is_executed(interrupted: Path, saved_by: str, tmp_path: Path) -> None:
    target = tmp_path / "executed"
    pickle.loads(pickle.dumps(Bomb(target)))
    assert target.exists()  # the pickle works
    target.unlink()
    (interrupted / PREVIOUS).unlink()
    with (interrupted / CURRENT).open("wb") as file:
        save = pickle.dump if saved_by == "pickle" else torch.save
        save(Bomb(target), file)
    config = saved(interrupted)
    for use in (lambda: train(config, resume=True), lambda: evaluate(config)):
        with pytest.raises(ConfigError, match="is damaged or not a safetensors file"):
            use()
    os.replace(interrupted / CURRENT, interrupted / "model.safetensors")
    with pytest.raises(ConfigError, match="is damaged or not a safetensors file"):
        evaluate(config)
    assert not target.exists()


@contextmanager
def full_disk(size: int = 0) -> Iterator[None]:
    """Limit the size of every file to ``size`` bytes, which a program sees as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_keeps_the_latest_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_step = Trainer.take_step
    limits: list[Any] = []

    def spy(trainer: Trainer, batch: Any) -> None:
        take_step(trainer, batch)
        if trainer.step == 16:
            limits.append(full_disk(20_000))
            limits[0].__enter__()

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "take_step", spy)
        try:
            with pytest.raises(ConfigError) as error:
                train(small(tmp_path, checkpoint_every=6))
        finally:
            limits[0].__exit__(None, None, None)
    folder = tmp_path / "run"
    assert str(error.value) == (
        f"run_dir is {folder}: cannot write there (File too large); "
        f"latest checkpoint: step 12, resume with --resume {folder}"
    )
    assert read(folder / CURRENT).step == 12
    assert not list(folder.glob(".*.part"))
    train(saved(folder), resume=True)
    assert_same_results(folder, train(small(tmp_path / "whole")))


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with suppress(OSError), file.open("wb", buffering=0) as opened:
        while opened.write(bytes(4096)) == 4096:
            pass


@pytest.mark.slow
def test_a_completely_full_disk_gives_one_line_and_the_run_can_be_resumed(tmp_path: Path) -> None:
    """A small file system, filled to its last byte and enlarged afterwards."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a file system needs root, and is not possible in every container")
    try:
        # The first checkpoint (0.8 MB) fits; later ones also contain Adam's moments.
        options = ("--dataset", "digits", "--epochs", 1, "--run-dir", disk / "run")
        first = run_here(*options, folder=tmp_path)
        fill(disk / "filling")
        second = run_here("--resume", disk / "run", folder=tmp_path)
        full = f"train.py: error: run_dir is {disk / 'run'}: cannot write there (No space left on"
        for done in (first, second):
            assert done.returncode == 2
            (line,) = done.stderr.splitlines()
            assert line.startswith(full)
        assert first.stderr.endswith(
            f"latest checkpoint: step 0, resume with --resume {disk / 'run'}\n"
        )
        (disk / "filling").unlink()
        subprocess.run(["mount", "-o", "remount,size=30m", str(disk)], check=True)
        last = run_here("--resume", disk / "run", folder=tmp_path)
        assert (last.returncode, last.stderr) == (0, "")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's permission to write to every folder."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("name", ["", "new"])
def test_a_folder_without_write_permission_is_rejected(name: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with (
        as_nobody(),
        pytest.raises(ConfigError, match=r"cannot write there \(Permission denied\)$"),
        new_folder(tmp_path / name, "unused"),
    ):
        raise AssertionError("the folder was accepted")


@pytest.mark.slow
def test_a_folder_in_use_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def take_step(*_: object) -> None:
        raise AssertionError("two runs use one folder")

    monkeypatch.setattr(Trainer, "take_step", take_step)
    arguments = ("--dataset", "digits", "--epochs", 10_000, "--hidden-size", 8, "--run-dir", "run")
    with start(*arguments, folder=tmp_path) as process:
        try:
            wait_for(process, "epoch 1")
            in_use = "another run is using it"
            with pytest.raises(ConfigError, match=in_use):
                train(saved(tmp_path / "run"), resume=True)
            with pytest.raises(ConfigError, match=in_use):
                train(small(tmp_path))
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 143  # the first run was not affected
    with pytest.raises(ConfigError, match=r"contains an unfinished run; .* --resume \S+/run$"):
        train(small(tmp_path))


@pytest.mark.slow
def test_a_finished_run_cannot_be_resumed(tmp_path: Path) -> None:
    folder = train(small(tmp_path))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = run_here("--resume", folder, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"train.py: error: resume is {folder}: the run is finished; "
        f"evaluate it with --evaluate {folder}\n"
    )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_without_a_checkpoint_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no run at .*missing: config.json is missing"):
        saved(tmp_path / "missing")
    (tmp_path / "config.json").write_text(Config().to_json())
    with pytest.raises(ConfigError, match="has no checkpoint: give the folder of an unf"):
        train(saved(tmp_path), resume=True)


def test_a_diverged_run_keeps_its_last_good_checkpoint(tmp_path: Path) -> None:
    options = {"cell": "rnn", "recipe": "tutorial", "learning_rate": 3e38, "checkpoint_every": 1}
    config = small(tmp_path, **options)
    with pytest.raises(DivergedError, match=r"not finite after step 1: lower learn") as error:
        train(config)
    folder = tmp_path / "run"
    latest = read_latest(folder)[0]
    assert f"latest checkpoint: step {latest.step}" in str(error.value)
    assert all(torch.isfinite(tensor).all() for tensor in latest.with_prefix("model/").values())
    assert latest.step == 0


@pytest.mark.slow
def test_the_command_prints_the_step_and_largest_gradient_of_a_diverged_run(tmp_path: Path) -> None:
    options = ("--cell", "rnn", "--recipe", "tutorial", "--learning-rate", 3e38)
    done = run_here("--dataset", "digits", *options, "--run-dir", "run", folder=tmp_path)
    assert done.returncode == 2
    assert re.fullmatch(
        r"train\.py: error: training loss is nan at step 2; the largest gradient of the step "
        r"before was \S+, norm \S+: lower learning_rate, which is 3e\+38; "
        r"latest checkpoint: step 0\n",
        done.stderr,
    )


@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
def test_a_run_with_a_large_finite_loss_has_diverged(
    clip_norm: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is complete, with weights and plots, but its result and its exit status report it."""
    options = {"cell": "rnn", "recipe": "tutorial", "learning_rate": 1e3, "epochs": 2}
    with pytest.raises(DivergedError) as error:
        train(small(tmp_path, clip_norm=clip_norm, **options))
    assert re.fullmatch(
        r"the run has diverged: training loss \S+, while guessing has 2\.30; lower learning_rate, "
        r"which is 1000\.0",
        str(error.value),
    )
    assert error.value.exit_status == 2
    printed = capsys.readouterr().out
    assert len(re.findall(r"\nwarning epoch \d diverged: training loss \S+, while", printed)) == 2
    assert "\nresult  digits: diverged, test accuracy " in printed
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_a_run_that_diverges_only_at_first_has_not_diverged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    take_step = Trainer.take_step

    def spy(trainer: Trainer, batch: Any) -> None:
        take_step(trainer, batch)
        if trainer.step <= 29:
            loss, norms = trainer._unread[-1]
            trainer._unread[-1] = loss + 10, norms

    monkeypatch.setattr(Trainer, "take_step", spy)
    train(small(tmp_path, epochs=2))
    printed = capsys.readouterr().out
    assert "\nwarning epoch 1 diverged: " in printed
    assert "\nwarning epoch 2" not in printed
    assert "\nresult  digits: test accuracy " in printed


def test_a_usual_run_gives_no_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(small(tmp_path))
    assert "warning" not in capsys.readouterr().out


NOT_FINITE = """
import torch
class Forward(torch.nn.GRU):
    def forward(self, input, hx=None):
        output, state = super().forward(input, hx)
        return output, state / 0 * 0
class Backward(torch.nn.GRU):
    def forward(self, input, hx=None):
        output, state = super().forward(input, hx)
        return output, state + (state - state).abs().sqrt()
"""


@pytest.mark.parametrize(
    ("name", "what"),
    [("Forward", "training loss is nan"), ("Backward", "a gradient is not finite")],
)
def test_a_layer_that_is_not_finite_at_first_is_not_blamed_on_the_learning_rate(
    name: str, what: str, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(NOT_FINITE)
    with pytest.raises(DivergedError) as error:
        train(small(tmp_path, implementation=f"{tmp_path}/own.py:{name}"))
    assert str(error.value).startswith(f"{what} at step 1, before any weight has changed: ")
    assert "check its forward and backward pass" in str(error.value)
    assert "learning_rate" not in str(error.value)


def test_a_run_killed_while_its_plots_are_drawn_tests_again_on_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run can be resumed until its final weights are written, which is its last step."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(plots, "draw_confusion", die)
        with pytest.raises(KeyboardInterrupt):
            train(small(tmp_path))
    folder = tmp_path / "run"
    assert metrics(folder)["epochs"]
    train(saved(folder), resume=True)
    assert_same_results(folder, train(small(tmp_path / "whole")))


def test_a_plot_that_cannot_be_drawn_does_not_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no font")

    monkeypatch.setattr(plots, "draw_curve", fail)
    folder = train(small(tmp_path))
    printed = capsys.readouterr().out
    assert "\ncurve.png cannot be drawn: RuntimeError: no font\n" in printed
    assert "\nresult  digits: " in printed
    assert (folder / "model.safetensors").exists()
    assert (folder / "mistakes.png").exists()
    assert not list(folder.glob("checkpoint*"))


@pytest.mark.parametrize("how", ["removed", "renamed", "replaced by a file"])
@pytest.mark.parametrize("step", [5, 29])
def test_a_folder_that_disappears_during_the_run_is_one_line(
    how: str, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    take_step = Trainer.take_step

    def spy(trainer: Trainer, batch: Any) -> None:
        take_step(trainer, batch)
        if trainer.step == step:
            folder.rename(tmp_path / "renamed") if how == "renamed" else shutil.rmtree(folder)
            if how == "replaced by a file":
                folder.write_text("")

    monkeypatch.setattr(Trainer, "take_step", spy)
    with pytest.raises(ConfigError) as error:
        train(small(tmp_path, checkpoint_every=6))
    assert re.fullmatch(
        rf"run_dir is {folder}: cannot write there \((No such file|Not a directory).*\); "
        rf"{folder} has no checkpoint any more",
        str(error.value),
    )


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "metrics.json", "curve.png"])
def test_a_link_in_the_folder_is_not_followed_when_writing(name: str, interrupted: Path) -> None:
    victim = interrupted.parent / "victim"
    victim.write_text("precious")
    config = saved(interrupted)
    (interrupted / name).unlink(missing_ok=True)
    (interrupted / name).symlink_to(victim)
    with pytest.raises(ConfigError, match=rf"{name} is (a link: a run writes only|damaged)"):
        train(config, resume=True)
    assert victim.read_text() == "precious"


def test_a_link_with_the_name_of_a_temporary_file_is_not_followed(interrupted: Path) -> None:
    victim = interrupted.parent / "victim"
    victim.write_text("precious")
    for name in ("checkpoint.safetensors", "metrics.json", "model.safetensors"):
        (interrupted / f".{name}.{os.getpid()}.part").symlink_to(victim)
    train(saved(interrupted), resume=True)
    assert victim.read_text() == "precious"


@pytest.mark.slow
def test_an_output_that_ends_leaves_a_run_that_can_be_resumed(tmp_path: Path) -> None:
    """As in train.py | head -1."""
    options = ("--dataset", "digits", "--hidden-size", 8, "--epochs", 3, "--run-dir", "run")
    with start(*options, folder=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read()
    assert process.returncode == 2
    assert re.fullmatch(
        r"train\.py: error: cannot write the output: Broken pipe; latest checkpoint: step \d+, "
        r"resume with --resume run\n",
        error,
    )
    assert run_here("--resume", "run", folder=tmp_path).returncode == 0


class EndingOutput(io.StringIO):
    """Its reader ends when a line starts with ``prefix``."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix

    def write(self, text: str) -> int:
        if text.startswith(self.prefix):
            raise OutputError("cannot write the output: Broken pipe")
        return super().write(text)


@pytest.mark.parametrize(
    ("prefix", "remedy"),
    [
        ("data", r"latest checkpoint: step 0, resume with --resume \S+"),
        ("epoch 1", r"latest checkpoint: step 29, resume with --resume \S+"),
        ("result", r"the run is finished; evaluate it with --evaluate \S+"),
    ],
)
def test_an_error_of_the_output_names_what_is_on_the_disk(
    prefix: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", EndingOutput(prefix))
    with pytest.raises(OutputError) as error:
        train(small(tmp_path))
    assert re.fullmatch(f"cannot write the output: Broken pipe; {remedy}", str(error.value))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "package"),
    [("tensorboard", "tensorboard"), ("sklearn", "scikit-learn"), ("tyro", "tyro")],
)
def test_a_missing_package_is_one_line(module: str, package: str, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.modules[{module!r}] = None; sys.argv = ['train.py', *sys.argv[1:]]; "
        f"import runpy; runpy.run_path({str(TRAIN)!r}, run_name='__main__')"
    )
    options = ["--dataset", "digits", "--epochs", "1", "--run-dir", "run"]
    done = subprocess.run(
        [sys.executable, "-c", program, *options],
        cwd=tmp_path,
        env={**ENVIRONMENT, "PYTHONPATH": str(TRAIN.parent)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"train.py: error: the package {package} is missing: install it with ")
    assert line.endswith(f" -m pip install {package}, or everything with make")
