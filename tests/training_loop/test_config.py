"""training_loop/config.py: validation of the options, and their defaults from a recipe."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from command_line.errors import ConfigError
from scratch_cells.backends import BACKENDS
from training_loop.config import EARLIER, Config, ResolvedConfig
from training_loop.recipes import Recipe


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
def test_an_invalid_value_raises_with_its_name_and_the_rule(
    option: str, value: float, rule: str
) -> None:
    with pytest.raises(ConfigError) as error:
        Config(**{option: value})
    assert str(error.value) == f"{option} is {value}: expected {rule}"


def test_the_smallest_and_largest_values_are_valid() -> None:
    Config(hidden_size=1, num_layers=1, epochs=1, batch_size=1, dropout=0.0, seed=0)
    Config(dropout=1.0, seed=2**64 - 1)


def test_the_default_model_is_two_lstm_layers_of_128() -> None:
    config = Config()
    assert (config.implementation, config.cell, config.sequence) == ("scratch", "lstm", "rows")
    assert (config.num_layers, config.hidden_size, config.bidirectional) == (2, 128, False)
    assert config.recipe == "strong"


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist", "kmnist"])
def test_the_tutorial_recipe(dataset: str) -> None:
    resolved = Config(recipe="tutorial").resolved(dataset, "cpu")
    assert (resolved.epochs, resolved.batch_size, resolved.learning_rate) == (2, 100, 1e-3)
    assert (resolved.schedule, resolved.init, resolved.clip_norm) == ("constant", "torch", 0)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("dataset", ["mnist", "digits"])
def test_the_strong_recipe_has_the_epochs_of_the_tutorial(cell: str, dataset: str) -> None:
    strong, tutorial = (
        Config(cell=cell, recipe=recipe).resolved(dataset, "cpu")
        for recipe in ("strong", "tutorial")
    )
    assert strong.epochs == tutorial.epochs
    assert (strong.schedule, strong.init, strong.clip_norm) == ("one-cycle", "orthogonal", 1)


@pytest.mark.parametrize("sequence", ["pixels", "permuted"])
def test_the_recipes_of_long_sequences(sequence: str) -> None:
    def recipe(dataset: str = "mnist", **options: Any) -> tuple[object, ...]:
        found = Config(sequence=sequence, **options).resolved(dataset, "cpu")
        return found.init, found.learning_rate, found.batch_size, found.epochs

    lstm = 2e-3 if sequence == "pixels" else 5e-3
    assert recipe(cell="lstm") == ("uniform-gate", lstm, 100, 20)
    assert recipe(cell="lstm") == recipe("fashion-mnist", cell="lstm")
    assert recipe(cell="gru") == ("uniform-gate", 5e-3, 100, 20)
    assert recipe(cell="rnn") == ("uniform-gate", 1e-3, 100, 20)
    assert recipe(recipe="tutorial") == ("torch", 1e-3, 100, 20)
    assert recipe("digits") == ("orthogonal", 5e-3, 50, 40)  # 64 steps


@pytest.mark.parametrize("task", ["adding", "copy"])
def test_the_recipes_of_the_memory_tasks(task: str) -> None:
    strong = Config(task=task).resolved("auto", "cpu")
    assert (strong.init, strong.learning_rate, strong.epochs) == ("chrono", 3e-3, 20)
    tutorial = Config(task=task, recipe="tutorial").resolved("auto", "cpu")
    assert (tutorial.init, tutorial.epochs) == ("torch", 20)


@pytest.mark.parametrize("dataset", ["mnist", "digits"])
@pytest.mark.parametrize("recipe", ["strong", "tutorial"])
@pytest.mark.parametrize(
    "given",
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
def test_a_given_option_takes_precedence_over_the_recipe(
    dataset: str, recipe: str, given: dict[str, Any]
) -> None:
    plain = Config(recipe=recipe, device="cpu").resolved(dataset, "cpu")
    resolved = Config(recipe=recipe, **given).resolved(dataset, "cpu")
    assert vars(resolved) == vars(plain) | given


def test_a_resolved_configuration_is_complete_and_resolves_to_itself() -> None:
    resolved = Config(run_dir=Path("here")).resolved("kmnist", "cuda")
    assert (resolved.dataset, resolved.device) == ("kmnist", "cuda")
    undecided = [name for name, value in vars(resolved).items() if value is None]
    assert undecided == ["length", "checkpoint_every"]
    assert resolved.resolved("kmnist", "cuda") == resolved


@pytest.mark.parametrize("config", [Config(), Config(run_dir=Path("a/b"), clip_norm=2.5, seed=7)])
def test_a_configuration_can_be_read_from_its_json(config: Config) -> None:
    assert Config.from_json(config.to_json()) == config
    resolved = config.resolved("digits", "cpu")
    assert ResolvedConfig.from_json(resolved.to_json()) == resolved


@pytest.mark.parametrize("text", ["", "[]", "null", '{"epochs": "two"}', '{"epochs": 0}', "\x00"])
def test_an_invalid_configuration_file_is_a_one_line_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config.json is not a run's configuration: ") as error:
        Config.load(tmp_path)
    assert str(error.value).isprintable()


def test_the_configuration_of_an_earlier_run_can_be_read() -> None:
    content = json.loads(Config(backend="auto", seed=3).to_json())
    for name, value in EARLIER.items():
        assert content.pop(name) == value
    assert Config.from_options(content) == Config(seed=3)


def test_a_folder_without_a_configuration_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(ConfigError, match=f"no run at {folder}: config.json is missing"):
            Config.load(folder)


def test_the_layer_is_named_by_the_users_options() -> None:
    assert Config(cell="gru", implementation="builtin").layer == "builtin gru"
    assert Config(cell="gru", implementation="my_cell.py:Mine").layer == "my_cell.py:Mine"


def test_a_configuration_is_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().epochs = 3


def test_every_hyperparameter_of_a_recipe_is_an_option_without_a_default() -> None:
    for field in dataclasses.fields(Recipe):
        assert getattr(Config(), field.name) is None
        assert get_type_hints(Config)[field.name] == get_type_hints(Recipe)[field.name] | None


def test_the_backends_are_those_of_scratch_layers() -> None:
    assert set(get_args(get_type_hints(Config)["backend"])) == set(BACKENDS)


def test_a_users_own_layer_has_no_cell() -> None:
    assert Config(implementation="own.py:Mine").resolved("digits", "cpu").cell is None
    assert Config(cell="gru").resolved("digits", "cpu").cell == "gru"
