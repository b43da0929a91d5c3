"""training_loop/config.py: what is refused, and what a recipe completes."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from command_line.errors import ConfigError
from training_loop.config import Config, SettledConfig


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("hidden_size", 0, "at least 1"),
        ("num_layers", 0, "at least 1"),
        ("epochs", 0, "at least 1"),
        ("epochs", -3, "at least 1"),
        ("batch_size", 0, "at least 1"),
        ("dropout", -0.1, "a probability from 0 to 1"),
        ("dropout", 2.0, "a probability from 0 to 1"),
        ("dropout", math.nan, "a probability from 0 to 1"),
        ("learning_rate", 0.0, "positive and finite"),
        ("learning_rate", math.inf, "positive and finite"),
        ("learning_rate", math.nan, "positive and finite"),
        ("warm_up", 0.0, "between 0 and 1"),
        ("warm_up", 1.0, "between 0 and 1"),
        ("beta2", 1.0, "between 0 and 1"),
        ("clip_norm", -1.0, "0 or more, and finite"),
        ("clip_norm", math.inf, "0 or more, and finite"),
        ("checkpoint_every", 0, "at least 1"),
        ("seed", -1, "from 0 to 2**64 - 1"),
        ("seed", 2**64, "from 0 to 2**64 - 1"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_the_rule(
    option: str, value: float, rule: str
) -> None:
    with pytest.raises(ConfigError) as error:
        Config(**{option: value})
    assert str(error.value) == f"{option} is {value}: expected {rule}"


def test_the_smallest_and_largest_values_are_taken() -> None:
    Config(hidden_size=1, num_layers=1, epochs=1, batch_size=1, dropout=0.0, seed=0)
    Config(dropout=1.0, seed=2**64 - 1)


def test_a_plain_run_is_the_tutorials_network_trained_better() -> None:
    config = Config()
    assert (config.implementation, config.cell, config.sequence) == ("scratch", "lstm", "rows")
    assert (config.num_layers, config.hidden_size, config.bidirectional) == (2, 128, False)
    assert config.recipe == "strong"


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist", "kmnist"])
def test_the_tutorials_recipe(dataset: str) -> None:
    settled = Config(recipe="tutorial").settled(dataset, "cpu")
    assert (settled.epochs, settled.batch_size, settled.learning_rate) == (2, 100, 1e-3)
    assert (settled.schedule, settled.init, settled.clip_norm) == ("constant", "torch", 0)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("dataset", ["mnist", "digits"])
def test_the_strong_recipe_takes_no_more_epochs(cell: str, dataset: str) -> None:
    strong, tutorial = (
        Config(cell=cell, recipe=recipe).settled(dataset, "cpu")
        for recipe in ("strong", "tutorial")
    )
    assert strong.epochs == tutorial.epochs
    assert (strong.schedule, strong.init, strong.clip_norm) == ("one-cycle", "orthogonal", 1)


@pytest.mark.parametrize("dataset", ["mnist", "digits"])
@pytest.mark.parametrize("recipe", ["strong", "tutorial"])
@pytest.mark.parametrize(
    "asked",
    [
        {"epochs": 7},
        {"batch_size": 8},
        {"learning_rate": 0.5},
        {"schedule": "constant"},
        {"init": "chrono"},
        {"warm_up": 0.5},
        {"beta2": 0.9},
        {"clip_norm": 0.0},
        {"clip_norm": 3.0},
    ],
)
def test_what_is_asked_for_comes_before_the_recipe(
    dataset: str, recipe: str, asked: dict[str, Any]
) -> None:
    plain = Config(recipe=recipe, device="cpu").settled(dataset, "cpu")
    settled = Config(recipe=recipe, **asked).settled(dataset, "cpu")
    assert vars(settled) == vars(plain) | asked


def test_settling_leaves_nothing_open_and_can_be_repeated() -> None:
    settled = Config(run_dir=Path("here")).settled("kmnist", "cuda")
    assert (settled.dataset, settled.device) == ("kmnist", "cuda")
    assert [name for name, value in vars(settled).items() if value is None] == ["checkpoint_every"]
    assert settled.settled("kmnist", "cuda") == settled


@pytest.mark.parametrize("config", [Config(), Config(run_dir=Path("a/b"), clip_norm=2.5, seed=7)])
def test_a_configuration_survives_its_file(config: Config) -> None:
    assert Config.from_json(config.to_json()) == config
    settled = config.settled("digits", "cpu")
    assert SettledConfig.from_json(settled.to_json()) == settled


@pytest.mark.parametrize("text", ["", "[]", "null", '{"epochs": "two"}', '{"epochs": 0}', "\x00"])
def test_a_file_that_is_no_configuration_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config.json is no run's configuration: ") as error:
        Config.of_run(tmp_path)
    assert str(error.value).isprintable()


def test_a_folder_without_a_configuration_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(ConfigError, match=f"no run at {folder}: expected a folder with"):
            Config.of_run(folder)


def test_a_layer_is_called_by_what_the_user_named() -> None:
    assert Config(cell="gru", implementation="builtin").layer == "builtin gru"
    assert Config(cell="gru", implementation="my_cell.py:Mine").layer == "my_cell.py:Mine"


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().epochs = 3  # type: ignore[misc]
