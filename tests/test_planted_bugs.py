"""The comparison of the property tests detects every planted bug."""

import dataclasses

import pytest
import torch
from hypothesis import Phase, find, settings
from torch import nn

from tests.helpers.oracles import differences, observe
from tests.helpers.planted_bugs import WRONG_CELLS, WRONG_LAYERS, kinds_of, wrong_layer
from tests.helpers.strategies import Configuration, configurations

NAMES = [*WRONG_CELLS, *WRONG_LAYERS]


def is_detected(name: str, configuration: Configuration) -> bool:
    """Whether the comparison of the property tests finds a difference from torch.nn."""
    options = {k: v for k, v in configuration.options.items() if k != "proj_size"}
    configuration = dataclasses.replace(configuration, options=options)
    theirs = configuration.build(nn)
    wrong = wrong_layer(name, configuration.kind)(**options, dtype=configuration.dtype)
    wrong.load_state_dict(theirs.state_dict())
    wrong.train(configuration.training)
    seen = observe(wrong, configuration), observe(theirs, configuration)
    return bool(differences(*seen, configuration.dtype))


@pytest.mark.parametrize("name", NAMES)
def test_drawn_configurations_detect_the_bug(name: str) -> None:
    """At least one of the configurations that a property test draws shows a difference."""
    find(
        configurations(kinds=kinds_of(name)),
        lambda configuration: is_detected(name, configuration),
        # 60 as in the default profile; no shrinking, because any configuration is enough
        settings=settings(
            max_examples=60, derandomize=True, deadline=None, phases=[Phase.generate]
        ),
    )


@pytest.mark.parametrize("name", NAMES)
def test_one_configuration_with_all_options_detects_the_bug(name: str) -> None:
    """With every option on, a single call shows each bug."""
    for kind in kinds_of(name):
        options = {
            "input_size": 4,
            "hidden_size": 4,
            "num_layers": 3,
            "bidirectional": True,
            "dropout": 0.4,
        }
        if name == "first-layer-input":
            options["bidirectional"] = False  # a later layer has as many features as the input
        if name == "wrong-nonlinearity":
            options["nonlinearity"] = "relu"
        configuration = Configuration(
            kind, options, layout="packed unsorted", time=5, batch=3, lengths=(2, 5, 3)
        )
        assert is_detected(name, configuration), kind


def test_correct_cells_show_no_difference() -> None:
    """The same code without a bug: the helper itself does not cause a difference."""
    options = {"input_size": 3, "hidden_size": 4, "num_layers": 2, "bidirectional": True}
    for kind in ("RNN", "GRU", "LSTM"):
        assert not is_detected("nothing", Configuration(kind, options))


def test_differences_reports_every_kind_of_difference() -> None:
    """Shape, dtype, stride, value, NaN, a missing and an unexpected gradient; and the index."""
    a = {"output": torch.arange(6.0).reshape(2, 3), "grad input": torch.ones(2)}

    def compare(b: dict[str, torch.Tensor]) -> list[str]:
        return differences(b, a, torch.float32)

    assert compare(dict(a)) == []
    assert compare({"output": a["output"]}) == ["grad input: missing"]
    assert compare(a | {"grad hx[0]": torch.ones(1)}) == ["grad hx[0]: not expected"]
    for other in (
        torch.zeros(3, 2),
        a["output"].double(),
        a["output"].T.contiguous().T,
    ):
        assert len(compare(a | {"output": other})) == 1
    with_nan = a["output"].clone()
    with_nan[1, 2] = float("nan")
    (line,) = compare(a | {"output": with_nan})
    assert "first at (1, 2): got nan, expected 5.0" in line
    (line,) = compare(a | {"grad input": torch.tensor([1.0, 1.1])})
    assert "first at (1,)" in line
    assert "largest difference 0.1" in line
