"""training_loop/runs/saved_config.py: a damaged or edited config.json changes no result."""

import dataclasses
import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from command_line.errors import ConfigError
from tests.helpers.runs import assert_same_results, interrupt, metrics, saved, small
from train import train
from training_loop.commands.evaluate import evaluate
from training_loop.commands.options import parse_options
from training_loop.config import Config
from training_loop.runs.checkpoint import (
    CURRENT,
    PREVIOUS,
    Checkpoint,
    CheckpointError,
    read,
    read_latest,
    write,
)
from training_loop.runs.folder import MODEL

pytestmark = pytest.mark.usefixtures("blank_plots")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(small(tmp_path_factory.mktemp("finished"), cell="gru"))


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unfinished")
    with pytest.MonkeyPatch.context() as patched:
        interrupt(small(folder, cell="gru", checkpoint_every=6), patched, 14)
    return folder / "run"


@pytest.fixture
def run(unfinished: Path, tmp_path: Path) -> Path:
    """A copy of an unfinished run."""
    return Path(shutil.copytree(unfinished, tmp_path / "run"))


def change(folder: Path, old: str, new: str) -> None:
    file = folder / "config.json"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        ('"seed": 0', '"seed": 1', "seed is 1, the copy has 0"),
        ('"cell": "gru"', '"cell": "lstm"', "cell is lstm, the copy has gru"),
        ('"epochs": 1', '"epochs": 2', "epochs is 2, the copy has 1"),
        ('"dropout"', '"drnpout"', "unknown option 'drnpout'"),
        ('"dropout": 0.0,', "", "the option dropout is missing"),
        ("{", "", "is not a run's configuration"),
    ],
)
def test_the_checkpoints_copy_is_used_with_a_warning(
    old: str, new: str, warning: str, run: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(run, old, new)
    train(saved(run), resume=True)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "config.json" in line]
    assert warning in line
    assert line.endswith(": using the copy") or ": using the copy in the run's " in line
    assert_same_results(run, finished)
    assert Config.load(run).seed == 0  # config.json is repaired


@pytest.mark.parametrize("how", ["missing", "empty", "a folder"])
def test_a_run_without_config_json_can_be_resumed(how: str, run: Path, finished: Path) -> None:
    (run / "config.json").unlink()
    if how == "empty":
        (run / "config.json").write_bytes(b"")
        train(saved(run), resume=True)
        assert_same_results(run, finished)
    else:
        assert saved(run).cell == "gru"


def test_a_finished_run_is_evaluated_with_the_configuration_of_its_weights(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    change(run, '"cell": "gru"', '"cell": "rnn"')
    assert (
        evaluate(parse_options(["--evaluate", str(run)]).config)
        == (metrics(finished)["test_accuracy"])
    )
    assert "cell is rnn, the copy has gru" in capsys.readouterr().out


def test_an_undamaged_run_gives_no_warning(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(saved(run, "--backend", "plain"), resume=True)
    assert "config.json" not in capsys.readouterr().out
    assert Config.load(run).backend == "plain"


def test_another_configuration_than_the_checkpoints_is_an_error(run: Path) -> None:
    config = dataclasses.replace(saved(run), seed=3)
    with pytest.raises(ConfigError, match=r"seed is 3: the checkpoint has 0; resume with its"):
        train(config, resume=True)


def test_every_flipped_bit_of_the_final_weights_is_found(finished: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    config = Config.load(run)
    content = (finished / MODEL).read_bytes()
    draw = random.Random(0)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        (run / MODEL).write_bytes(damaged)
        with pytest.raises(ConfigError, match="is damaged"):
            evaluate(dataclasses.replace(config, run_dir=run))


def test_weights_of_another_program_have_no_digest_and_are_accepted(
    finished: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    save_file(load_file(finished / MODEL), run / MODEL, {"format": "pt"})
    assert saved(run).cell == "gru"
    assert evaluate(saved(run)) == metrics(finished)["test_accuracy"]


@pytest.mark.parametrize("word", [b'"digest"', b'"run"', b'"format"', b'"__metadata__"'])
def test_a_flipped_bit_in_a_key_of_the_header_is_damage(word: bytes, run: Path) -> None:
    content = bytearray((run / CURRENT).read_bytes())
    content[content.index(word) + 1] ^= 1
    (run / CURRENT).write_bytes(content)
    with pytest.raises(CheckpointError):
        read(run / CURRENT)
    assert read_latest(run)[0].step == 12


def without(key: str) -> Any:
    return lambda tensors, text: text.pop(key)


OTHER_VERSIONS: dict[str, Any] = {
    **{f"without {key}": without(key) for key in ("epochs", "schedule", "optimizer", "seconds")},
    "without config": without("config"),
    "text for seconds": lambda tensors, text: text.update(seconds="long"),
    "a list for the schedule": lambda tensors, text: text.update(schedule=[1]),
    "an incomplete schedule": lambda tensors, text: text["schedule"].pop("last_epoch"),
    "another optimizer": lambda tensors, text: text["optimizer"].update(momentum=0.9),
    "a result of an epoch": lambda tensors, text: text["epochs"].append({"number": 1}),
    "no losses": lambda tensors, text: tensors.pop("step_losses"),
    "losses of two dimensions": lambda tensors, text: tensors.update(step_losses=torch.ones(2, 2)),
    "losses of text": lambda tensors, text: tensors.update(
        step_losses=torch.ones(2, dtype=torch.uint8)
    ),
    "too many losses": lambda tensors, text: tensors.update(step_losses=torch.ones(300)),
    "a float generator": lambda tensors, text: tensors.update(
        {"generator/cpu/0": torch.ones(5056)}
    ),
    "a generator without a number": lambda tensors, text: tensors.update(
        {"generator/cpu/first": torch.ones(1)}
    ),
    "no second moment": lambda tensors, text: tensors.pop(
        "optimizer/layer.weight_hh_l0/exp_avg_sq"
    ),
    "a moment of another shape": lambda tensors, text: tensors.update(
        {"optimizer/layer.weight_hh_l0/exp_avg": torch.ones(1)}
    ),
    "an unknown weight": lambda tensors, text: tensors.update({"optimizer/x/step": torch.ones(())}),
}


@pytest.mark.parametrize("name", OTHER_VERSIONS)
def test_a_checkpoint_of_another_version_is_one_line(name: str, run: Path) -> None:
    """Its digest is right, so it is not damaged."""
    config = saved(run)
    found = read(run / CURRENT)
    (run / PREVIOUS).unlink()
    OTHER_VERSIONS[name](found.tensors, found.metadata)
    write(Checkpoint(found.tensors, found.metadata), run)
    (run / PREVIOUS).unlink()
    with pytest.raises(ConfigError) as error:
        train(config, resume=True)
    assert re.search(
        r"checkpoint (has no valid|is of another)|not a checkpoint of", str(error.value)
    )
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence": "rgws"},
        {"precision": "fp8"},
        {"cell": ["lstm"]},
        {"implementation": None},
        {"seed": 1.5},
        {"epochs": 10**308},
        {"batch_size": 1e308},
        {"num_layers": 10**18},
        {"bidirectional": 1},
        {"hidden_size": True},
        {"learning_rate": 10**400},
        {"learning_rate": "fast"},
        {"data_dir": 7},
        {"schedule": {}},
    ],
    ids=str,
)
def test_a_value_of_another_type_is_one_line(changes: dict[str, Any], tmp_path: Path) -> None:
    content = json.loads(Config().to_json())
    (tmp_path / "config.json").write_text(json.dumps(content | changes))
    with pytest.raises(ConfigError, match=r"config.json is not a run's configuration: ") as error:
        Config.load(tmp_path)
    assert next(iter(changes)) in str(error.value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 250 + len(str(tmp_path))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "\ufffe", "{}", '{"epochs": 1}']
)
def test_text_that_is_no_configuration_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config.json is not a run's configuration: "):
        Config.load(tmp_path)


def test_every_changed_byte_of_config_json_is_valid_or_one_line(tmp_path: Path) -> None:
    content = Config().resolved("digits", "cpu").to_json().encode()
    draw = random.Random(0)
    for _ in range(600):
        damaged = bytearray(content)
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        (tmp_path / "config.json").write_bytes(damaged)
        try:
            Config.load(tmp_path)
        except ConfigError as error:
            assert "config.json is not a run's configuration" in str(error)  # noqa: PT017  # it may also not raise
