"""Damaged, foreign and unusual input of the explorer: one line, or what was asked for."""

import json
import os
import runpy
import signal
import stat
import subprocess
import sys
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread
from safetensors.torch import load_file, save_file
from torch import nn

from command_line.errors import ConfigError
from gate_explorer.arguments import Arguments
from gate_explorer.inputs.load_run import load_run
from gate_explorer.inputs.read_weights import read_weights
from gate_explorer.inputs.select_image import select_image
from gate_explorer.show import observe_run, show
from shared_interface import SequenceClassifier
from tests.gate_explorer.test_command import error_of, write_run
from tests.helpers.paths import ROOT


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with the fewest panels."""
    return write_run(tmp_path / "run", cell="rnn", num_layers=1)


def weights_of(layer: nn.Module) -> dict[str, Any]:
    return dict(SequenceClassifier(layer, 10).state_dict())


# --- files of weights ---------------------------------------------------------------------------

GRU = weights_of(nn.GRU(8, 5, batch_first=True))
FOREIGN = {
    "a list": [torch.zeros(2)],
    "a module": nn.Linear(2, 2),
    "keys that are integers": {0: torch.zeros(2)},
    "nested": {"model": GRU},
    "text": {**GRU, "epoch": "three"},
    "integers": {name: weight.long() for name, weight in GRU.items()},
    "complex values": {name: weight.cfloat() for name, weight in GRU.items()},
    "a sparse tensor": {**GRU, "readout.weight": GRU["readout.weight"].to_sparse()},
    "a meta tensor": {**GRU, "readout.weight": torch.zeros(10, 5, device="meta")},
    "a tensor of no size": {**GRU, "layer.weight_hh_l0": torch.tensor(1.0)},
    "a vector": {**GRU, "layer.weight_ih_l0": torch.zeros(15)},
    "no columns": {**GRU, "layer.weight_hh_l0": torch.zeros(15, 0)},
    "no rows": {**GRU, "layer.weight_hh_l0": torch.zeros(0, 5)},
    "an input of size 0": {**GRU, "layer.weight_ih_l0": torch.zeros(15, 0)},
    "a readout of 20 classes": {
        **GRU,
        "readout.weight": torch.zeros(20, 5),
        "readout.bias": torch.zeros(20),
    },
    "a readout vector": {**GRU, "readout.weight": torch.zeros(10)},
    "a projection that is too large": {
        **weights_of(nn.LSTM(8, 5, proj_size=3)),
        "layer.weight_hr_l0": torch.zeros(9, 5),
    },
    "a projection of a GRU": {**GRU, "layer.weight_hr_l0": torch.zeros(3, 5)},
    "a billion rows in one element": {
        **GRU,
        "layer.weight_hh_l0": torch.zeros(1).expand(3 * 10**9, 10**9),
    },
    "many layers": {**GRU, **{f"layer.weight_ih_l{n}": torch.zeros(1) for n in range(1, 50)}},
    "a name with line breaks": {**GRU, "layer.\nweight": torch.zeros(1)},
    "nothing": {},
}


@pytest.mark.parametrize("content", FOREIGN)
def test_weights_of_something_else_give_one_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(FOREIGN[content], path)
    error_of(Arguments(run=path))
    assert os.listdir(tmp_path) == ["weights.pt"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_can_be_shown(dtype: torch.dtype, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(OrderedDict((name, weight.to(dtype)) for name, weight in GRU.items()), path)
    expected = {name: weight.to(dtype).float() for name, weight in GRU.items()}
    loaded = load_run(path)
    for name, weight in loaded.model.state_dict().items():
        assert torch.equal(weight, expected[name])
    assert observe_run(loaded, select_image(loaded, Arguments())).probabilities.shape == (8, 10)


FORMATS = {
    "zip.pt": lambda path: torch.save(GRU, path),
    "legacy.pt": lambda path: torch.save(GRU, path, _use_new_zipfile_serialization=False),
    "file.safetensors": lambda path: save_file(GRU, path),
}


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("intact")
    for name, save in FORMATS.items():
        save(folder / name)
    return {name: (folder / name).read_bytes() for name in FORMATS}


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
@settings(deadline=None)
def test_damaged_weights_give_one_line_or_are_loaded(
    name: str, intact: dict[str, bytes], data: st.DataObject, tmp_path_factory: Any
) -> None:
    content = bytearray(intact[name])
    for _ in range(data.draw(st.integers(1, 4))):
        end = data.draw(st.sampled_from([1200, len(content)]))  # most fields are at the beginning
        content[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2]))])
    with suppress(ConfigError):
        loaded = load_run(path)
        observe_run(loaded, select_image(loaded, Arguments()))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_that_has_diverged_can_be_shown(value: float, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    weights = load_file(run / "model.safetensors")
    save_file({name: weight * value for name, weight in weights.items()}, run / "model.safetensors")
    show(Arguments(run=run, png=tmp_path / "a.png", npz=tmp_path / "a.npz"))


def test_no_code_of_a_pickle_is_run(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({**GRU, "code": Code()}, tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match="cannot read weights"):
        read_weights(tmp_path / "weights.pt")
    assert not (tmp_path / "ran").exists()


# --- a configuration of other sizes -------------------------------------------------------------


@pytest.mark.parametrize(
    "option",
    [{"num_layers": 10**18}, {"hidden_size": 10**9}, {"hidden_size": 3}, {"bidirectional": True}],
)
@pytest.mark.parametrize("implementation", ["scratch", "builtin", "custom"])
def test_a_configuration_of_another_size_gives_one_line(
    option: dict[str, int], implementation: str, tmp_path: Path
) -> None:
    own = f"{ROOT / 'examples' / 'custom_cell.py'}:UGRNNCell"
    name = own if implementation == "custom" else implementation
    folder = write_run(tmp_path / "run", implementation=name)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | option))
    code = (own,) if implementation == "custom" else ()
    error_of(Arguments(run=folder, implementation=code))


# --- Python code that a folder names ------------------------------------------------------------

CODE = "from examples.custom_cell import UGRNNCell as Cell\nfrom pathlib import Path\n"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A run whose layer is Python code, which leaves a file ``ran`` when it is run."""
    code = tmp_path / "code.py"
    code.write_text(f"{CODE}Path({str(tmp_path / 'ran')!r}).touch()\n")
    folder = write_run(tmp_path / "foreign", implementation=f"{code}:Cell")
    (tmp_path / "ran").unlink()
    return folder


def test_code_that_a_folder_names_runs_only_on_request(
    foreign: Path, run: Path, tmp_path: Path
) -> None:
    code = f"{tmp_path / 'code.py'}:Cell"
    for arguments in (Arguments(run=foreign), Arguments(compare=(run, foreign))):
        message = error_of(arguments)
        assert message.endswith(f"if you trust it, add --implementation {code}")
        assert not (tmp_path / "ran").exists()
    show(Arguments(run=foreign, implementation=(code,)))
    assert (tmp_path / "ran").exists()
    show(Arguments(compare=(run, foreign, foreign), implementation=(code,)))
    assert "--implementation is given 1 times: 0 of" in error_of(
        Arguments(run=run, implementation=(code,))
    )


def test_code_that_has_moved_is_given_by_its_new_path(foreign: Path, tmp_path: Path) -> None:
    (tmp_path / "code.py").rename(tmp_path / "moved.py")
    show(Arguments(run=foreign, implementation=(f"{tmp_path / 'moved.py'}:Cell",)))


# --- names and paths ----------------------------------------------------------------------------

NAMES = [
    "a$x_$b",
    r"$\frac$",
    "[red]",
    "<b>&amp;",
    "line\nbreak",
    os.fsdecode(b"not\xffutf8"),
    "é⊙",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_any_name_can_be_shown_in_every_format(name: str, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / name
    folder.mkdir()
    path = folder / f"{name}.pt"
    torch.save(GRU, path)
    show(Arguments(run=path, html=folder / name, png=folder / "a.png", npz=folder / "a.npz"))
    assert imread(folder / "a.png").std() > 0.1
    assert "<h2>GRU (" in (folder / name).read_text(encoding="utf-8")
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_paths_that_cannot_be_searched_give_one_line(run: Path, tmp_path: Path) -> None:
    long = "a" * 300
    assert "File name too long" in error_of(Arguments(run=Path(long)))
    assert "File name too long" in error_of(Arguments(run=Path("/".join(["a" * 200] * 30))))
    assert f"--png is {long}: cannot write there (File name too long)" in error_of(
        Arguments(run=run, png=Path(long))
    )
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    error_of(Arguments(run=tmp_path / "loop"))
    error_of(Arguments(run=run, npz=tmp_path / "loop"))
    error_of(Arguments(run=Path("/dev/null")))


def test_a_folder_that_may_not_be_searched_gives_one_line(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    for method in ("is_dir", "is_file"):
        with monkeypatch.context() as patched:
            patched.setattr(Path, method, forbidden)
            assert "Permission denied" in error_of(Arguments(run=run))


def test_numbers_of_any_size_give_one_line(run: Path) -> None:
    assert "--label is 1000" in error_of(Arguments(run=run, label=10**30))
    assert "--label is -1" in error_of(Arguments(run=run, label=-1))
    assert "--index is 1000" in error_of(Arguments(run=run, index=10**30))


# --- outputs ------------------------------------------------------------------------------------


def test_outputs_do_not_replace_each_other_or_the_run(run: Path, tmp_path: Path) -> None:
    same, link = tmp_path / "same", tmp_path / "link"
    link.symlink_to(same)
    assert error_of_post_init(run=run, html=same, png=link).startswith("--html and --png are both")
    for name in ("model.safetensors", "config.json"):
        assert "would replace a file of the run" in error_of_post_init(run=run, npz=run / name)
    weights = run / "model.safetensors"
    link.unlink()
    link.symlink_to(weights)
    assert "would replace a file of the run" in error_of_post_init(run=weights, png=link)
    Arguments(run=run, html=Path(os.devnull), png=Path(os.devnull))


def error_of_post_init(**options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        Arguments(**options)
    return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["html", "png", "npz"])
def test_links_are_followed_and_pipes_are_written_to(
    option: str, run: Path, tmp_path: Path
) -> None:
    show(Arguments(run=run, **{"html": tmp_path / "page", option: tmp_path / "plain"}))
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "folder" / "target")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with (tmp_path / "received").open("wb") as received:
        reader = subprocess.Popen(["cat", pipe], stdout=received)
    for path in (link, pipe):
        show(Arguments(run=run, **{"html": tmp_path / "page", option: path}))
    reader.wait(timeout=60)
    assert link.is_symlink()
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    for written in (tmp_path / "received", tmp_path / "folder" / "target"):
        assert abs(written.stat().st_size - (tmp_path / "plain").stat().st_size) < 1000
    assert os.listdir(tmp_path / "folder") == ["target"]
    assert "Is a directory" in error_of(Arguments(run=run, **{option: tmp_path / "folder"}))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mknod needs root")
@pytest.mark.parametrize("option", ["html", "png", "npz"])
def test_a_device_is_written_to_and_stays_a_device(option: str, run: Path, tmp_path: Path) -> None:
    null, full = tmp_path / "null", tmp_path / "full"
    try:
        os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.mknod(full, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
    except PermissionError:
        pytest.skip("the container permits no device")
    show(Arguments(run=run, **{option: null}))
    message = f"--{option} is {full}: cannot write there (No space left on device)"
    assert error_of(Arguments(run=run, **{option: full})) == message
    for path in (null, full):
        assert stat.S_ISCHR(path.stat().st_mode)


# --- the command --------------------------------------------------------------------------------

SLOW_TORCH = "import time\nprint('importing', flush=True)\ntime.sleep(60)\n"


@pytest.mark.parametrize("command", ["gate_explorer runs/any", "train.py --dataset digits"])
def test_ctrl_c_during_the_import_of_torch_gives_one_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(SLOW_TORCH)
    module, *arguments = command.split()
    target = [module] if module.endswith(".py") else ["-m", module]
    process = subprocess.Popen(
        [sys.executable, *target, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, f"{module}: interrupted\n")


def test_help_and_bad_options_are_answered_without_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch is imported')\n")
    for arguments, status in ((["--help"], 0), (["run", "--imdex", "3"], 2)):
        done = subprocess.run(
            [sys.executable, "-m", "gate_explorer", *arguments],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == status
        assert "torch is imported" not in done.stderr


def test_a_name_with_a_line_break_gives_one_line_of_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gate_explorer", "no\nrun"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("gate_explorer", run_name="__main__")
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(r"gate_explorer: error: no run at no\nrun: expected a folder")
