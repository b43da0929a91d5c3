"""The tests' own helpers catch every planted bug: a check never seen failing is not a check."""

import dataclasses

import pytest
import torch
from hypothesis import Phase, find, settings
from torch import nn

from tests.helpers.oracles import differences, observe
from tests.helpers.planted_bugs import WRONG_CELLS, WRONG_LAYERS, kinds_of, wrong_layer
from tests.helpers.strategies import Configuration, configurations

NAMES = [*WRONG_CELLS, *WRONG_LAYERS]


def caught(name: str, configuration: Configuration) -> bool:
    """Whether the comparison that the property tests make tells the bug from torch.nn."""
    options = {k: v for k, v in configuration.options.items() if k != "proj_size"}
    configuration = dataclasses.replace(configuration, options=options)
    theirs = configuration.build(nn)
    wrong = wrong_layer(name, configuration.kind)(**options, dtype=configuration.dtype)
    wrong.load_state_dict(theirs.state_dict())
    wrong.train(configuration.training)
    seen = observe(wrong, configuration), observe(theirs, configuration)
    return bool(differences(*seen, configuration.dtype))


@pytest.mark.parametrize("name", NAMES)
def test_drawn_configurations_catch_it(name: str) -> None:
    """Among as many configurations as a quick property test draws, one at least tells."""
    find(
        configurations(kinds=kinds_of(name)),
        lambda configuration: caught(name, configuration),
        # as many as the quick profile draws, and the first one found will do
        settings=settings(
            max_examples=60, derandomize=True, deadline=None, phases=[Phase.generate]
        ),
    )


@pytest.mark.parametrize("name", NAMES)
def test_one_rich_configuration_catches_it(name: str) -> None:
    """Every option on at once: each bug shows in a single call."""
    for kind in kinds_of(name):
        options = {
            "input_size": 4,
            "hidden_size": 4,
            "num_layers": 3,
            "bidirectional": True,
            "dropout": 0.4,
        }
        if name == "first-layer-input":
            options["bidirectional"] = False  # so that a later layer has the input's features
        if name == "wrong-nonlinearity":
            options["nonlinearity"] = "relu"
        configuration = Configuration(
            kind, options, layout="packed unsorted", time=5, batch=3, lengths=(2, 5, 3)
        )
        assert caught(name, configuration), kind


def test_the_right_cells_are_not_caught() -> None:
    """The same path with nothing planted: what is caught is the bug and not the planting."""
    options = {"input_size": 3, "hidden_size": 4, "num_layers": 2, "bidirectional": True}
    for kind in ("RNN", "GRU", "LSTM"):
        assert not caught("nothing", Configuration(kind, options))


def test_a_comparison_complains_of_all_it_should() -> None:
    """The helper itself: shape, dtype, stride, NaN, a missing or surplus gradient, and place."""
    a = {"output": torch.arange(6.0).reshape(2, 3), "grad input": torch.ones(2)}

    def tell(b: dict[str, torch.Tensor]) -> list[str]:
        return differences(b, a, torch.float32)

    assert tell(dict(a)) == []
    assert tell({"output": a["output"]}) == ["grad input: missing"]
    assert tell(a | {"grad hx[0]": torch.ones(1)}) == ["grad hx[0]: not expected"]
    for other in (
        torch.zeros(3, 2),
        a["output"].double(),
        a["output"].T.contiguous().T,
    ):
        assert len(tell(a | {"output": other})) == 1
    moved = a["output"].clone()
    moved[1, 2] = float("nan")
    (line,) = tell(a | {"output": moved})
    assert "first at (1, 2): got nan, expected 5.0" in line
    (line,) = tell(a | {"grad input": torch.tensor([1.0, 1.1])})
    assert "first at (1,)" in line
    assert "largest difference 0.1" in line
