"""training_loop/config.py: what is refused, and what a data set's own defaults complete."""

import dataclasses
import math

import pytest

from training_loop.config import Config, ConfigError, Schedule


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


def test_a_plain_run_is_the_tutorials() -> None:
    config = Config()
    assert (config.implementation, config.cell, config.sequence) == ("scratch", "lstm", "rows")
    assert (config.num_layers, config.hidden_size, config.bidirectional) == (2, 128, False)
    for dataset in ("mnist", "fashion-mnist", "kmnist"):
        assert config.schedule_for(dataset) == Schedule(2, 100, 1e-3)
    assert config.schedule_for("digits").epochs > 2


@pytest.mark.parametrize("dataset", ["mnist", "digits"])
@pytest.mark.parametrize("asked", [{"epochs": 7}, {"batch_size": 8}, {"learning_rate": 0.5}])
def test_what_is_asked_for_comes_before_a_data_sets_default(
    dataset: str, asked: dict[str, float]
) -> None:
    schedule = Config(**asked).schedule_for(dataset)
    assert schedule == Config().schedule_for(dataset)._replace(**asked)


def test_a_layer_is_called_by_what_the_user_named() -> None:
    assert Config(cell="gru", implementation="builtin").layer == "builtin gru"
    assert Config(cell="gru", implementation="my_cell.py:Mine").layer == "my_cell.py:Mine"


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().epochs = 3  # type: ignore[misc]
