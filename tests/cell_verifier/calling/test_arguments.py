"""The arguments that are passed to the user's constructor."""

import dataclasses
from typing import Any

import pytest
import torch

from cell_verifier.calling.arguments import HEAD_WIDTH, Constructor
from cell_verifier.calling.assignments import parse_assignments
from cell_verifier.errors import CannotCheckError


def sizes_last(n_layers, output_dim, input_dim, hidden_dim, device="cuda", bidirectional=True):
    return n_layers, output_dim, input_dim, hidden_dim, device, bidirectional


def unknown_third(i, h, flavour):
    return i, h, flavour


def test_sizes_and_other_arguments_are_found_by_their_names() -> None:
    made = Constructor(sizes_last)(8, 6)
    assert made == (1, HEAD_WIDTH, 8, 6, torch.device("cpu"), False)


def test_options_with_torchs_names_reach_the_users_argument() -> None:
    assert Constructor(sizes_last)(8, 6, num_layers=3, bidirectional=True)[0] == 3
    assert Constructor(sizes_last).own_name("num_layers") == "n_layers"
    assert Constructor(sizes_last).own_name("bias") == ""


def test_given_arguments_replace_those_that_would_be_filled_in() -> None:
    constructor = Constructor(sizes_last, {"output_dim": 11})
    assert constructor(8, 6)[1] == 11
    assert constructor.passed()["output_dim"] == 11
    assert Constructor(unknown_third, {"flavour": "mint"})(8, 6) == (8, 6, "mint")


@pytest.mark.parametrize(
    ("constructor", "words"),
    [
        (Constructor(unknown_third), "requires the argument 'flavour'"),
        (Constructor(unknown_third, {"taste": 1}), "has no argument 'taste': expected flavour"),
        (Constructor(unknown_third, {"i": 1}), "'i' is a size"),
    ],
)
def test_an_unclear_or_unknown_argument_cannot_be_checked(
    constructor: Constructor, words: str
) -> None:
    with pytest.raises(CannotCheckError, match=words):
        constructor(8, 6)


def test_assignments_of_the_command_line_are_literals_or_text() -> None:
    parsed = parse_assignments(["output_size=5", "device=cpu", "bias=True", "name=a=b"])
    assert parsed == {"output_size": 5, "device": "cpu", "bias": True, "name": "a=b"}
    with pytest.raises(ValueError, match="'classes' is not NAME=VALUE"):
        parse_assignments(["classes"])


class Config:
    def __init__(self, config: Any) -> None:
        self.sizes = config.n_inp, config["nhid"], config.num_layers


@dataclasses.dataclass
class Settings:
    hidden_size: int = 64
    input_size: int = 32
    flavour: str = "sweet"


def with_dataclass(settings: Settings) -> Settings:
    return settings


def test_a_configuration_object_may_be_the_only_argument() -> None:
    assert Constructor(Config)(8, 6).sizes == (8, 6, 1)
    assert Constructor(with_dataclass)(8, 6) == Settings(6, 8, "sweet")


def test_an_unknown_field_of_a_configuration_is_named() -> None:
    with pytest.raises(AttributeError, match="the configuration needs 'flavour'"):
        Constructor(lambda config: config.flavour)(8, 6)
    assert Constructor(lambda config: config.flavour, {"flavour": 3})(8, 6) == 3
