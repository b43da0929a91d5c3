"""Public bug reports have the recorded outcomes, and the page has the recorded tables."""

import os
import re
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from tests.public_reports.collection import ALL, by_topic
from tests.public_reports.report import WORKS, Outcome, Report
from tests.public_reports.table import KINDS, PAGE, with_tables

TORCH = "2.14"
"""The version of torch that torch.nn's outcomes were recorded with."""

THREAD = r"[\w.-]+/[\w.-]+#\d+|https://discuss\.pytorch\.org/t/[\w-]+/\d+"

PARAMETERS = [
    pytest.param(report, id=report.name, marks=[pytest.mark.slow] if report.may_crash else [])
    for report in ALL
]


@pytest.mark.slow
@pytest.mark.parametrize("report", PARAMETERS)
def test_scratch_cells_has_the_recorded_outcome(report: Report) -> None:
    assert report.difference("scratch_cells") == ""


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.__version__.startswith(TORCH), reason=f"the outcomes were recorded with torch {TORCH}"
)
@pytest.mark.parametrize("report", PARAMETERS)
def test_torch_nn_has_the_recorded_outcome(report: Report) -> None:
    assert report.difference("torch.nn") == ""


def test_the_page_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_tables(page) == page, "run: python -m tests.public_reports.table"
    assert f"torch {TORCH}" in page


def test_reports_are_complete() -> None:
    """Every report has a thread, a name of its own and a sentence about what is tried."""
    assert len(ALL) >= 40
    assert sum(map(len, by_topic().values())) == len(ALL)
    assert len({report.name for report in ALL}) == len(ALL)
    assert len({report.reference for report in ALL}) == len(ALL)
    for report in ALL:
        assert re.fullmatch(THREAD, report.reference), report.name
        assert str(report.case.__doc__).endswith("."), report.name
        assert {report.torch_nn.kind, report.scratch_cells.kind} <= set(KINDS)


# cpu_offload looks up the weight of each nn.Linear under its path in the model, and a state_dict
# has the weight under torch.nn's name only. It works if it is given the weights under both names:
# test_cpu_offload_works_with_the_weights_under_both_names.
LIMITS = {"offloaded_weights"}


def test_scratch_cells_supports_what_torch_nn_supports() -> None:
    """An outcome is never worse than that of torch.nn, except for the known limits."""
    for report in ALL:
        if report.name in LIMITS:
            assert report.scratch_cells.kind == "not supported"
            continue
        worst = KINDS.index(report.torch_nn.kind)
        assert KINDS.index(report.scratch_cells.kind) <= worst, report.name


# --- an outcome is classified, and a bug in a layer changes it ---------------------------------


def test_outcomes_are_classified() -> None:
    def outcome(case: Any, invalid: bool = False) -> Outcome:
        report = Report("a/b#1", "", case, WORKS, WORKS, invalid, may_crash=False)
        return report.observe("scratch_cells")

    def wrong_value(layers: Any) -> None:
        torch.testing.assert_close(layers.GRU(3, 4)(torch.ones(5, 3))[0], torch.ones(5, 4))

    def wrong_call(layers: Any) -> None:
        layers.GRU(3, 4)(torch.ones(5, 2))

    assert outcome(lambda layers: layers.GRU(3, 4)) == Outcome("works")
    assert outcome(wrong_value).kind == "wrong"
    error = "RuntimeError: input.size(-1) must be equal to input_size. Expected 3, got 2"
    assert outcome(wrong_call) == Outcome("not supported", error)
    assert outcome(wrong_call, invalid=True) == Outcome("raises", error)
    assert outcome(lambda layers: layers.GRU(3, 4), invalid=True) == Outcome("wrong")


def test_recorded_words_are_compared() -> None:
    observed = Outcome("raises", "ValueError: x is 3, expected 4")
    assert Outcome("raises", "ValueError: x is 3").includes(observed)
    assert not Outcome("raises", "ValueError: x is 4").includes(observed)
    assert not Outcome("works").includes(observed)


def planted(change: Any) -> ModuleType:
    """torch.nn's layers, with ``change`` instead of their forward pass."""
    module = ModuleType("planted")
    for name in ("RNN", "GRU", "LSTM"):
        base = getattr(nn, name)

        def forward(self: Any, input: Any, hx: Any = None, base: Any = base) -> Any:
            return change(self, base.forward, input, hx)

        setattr(module, name, type(name, (base,), {"forward": forward}))
    return module


def stale_weights(layer: Any, forward: Any, input: Any, hx: Any) -> Any:
    """An LSTM that uses the weights of its first call; their gradients are those of the others."""
    current = [getattr(layer, name) for name in layer._flat_weights_names]
    if not hasattr(layer, "first"):
        layer.first = [weight.detach().clone() for weight in current]
    weights = [old + (new - new.detach()) for old, new in zip(layer.first, current, strict=True)]
    directions = 2 if layer.bidirectional else 1
    zeros = input.new_zeros(directions, input.size(1), layer.hidden_size)
    output, *state = torch.lstm(
        input, (zeros, zeros), weights, True, 1, 0.0, True, layer.bidirectional, False
    )
    return output, tuple(state)


def errors_are_hidden(layer: Any, forward: Any, input: Any, hx: Any) -> Any:
    try:
        return forward(layer, input, hx)
    except (RuntimeError, ValueError):
        return torch.zeros(1), torch.zeros(1)


def samples_are_mixed(layer: Any, forward: Any, input: Any, hx: Any) -> Any:
    output, state = forward(layer, input, hx)
    if isinstance(output, torch.Tensor) and output.ndim == 3:
        output = output + 1e-3 * output.mean(1, keepdim=True)
    return output, state


def random_output(layer: Any, forward: Any, input: Any, hx: Any) -> Any:
    output, state = forward(layer, input, hx)
    noise = torch.rand(1, generator=torch.Generator().manual_seed(id(output)), dtype=output.dtype)
    return output + 1e-3 * noise, state


def directions_are_swapped(layer: Any, forward: Any, input: Any, hx: Any) -> Any:
    output, state = forward(layer, input, hx)
    if isinstance(state, tuple):
        return output, tuple(part.flip(0) for part in state)
    return output, state.flip(0)


def states_in_packed_order(layer: Any, forward: Any, input: Any, hx: Any) -> Any:
    output, state = forward(layer, input, hx)
    if isinstance(input, PackedSequence):
        return output, layer.permute_hidden(state, input.sorted_indices)
    return output, state


CAUGHT_BY = {
    stale_weights: {
        "functional_call_with_state_dict",
        "parametrization",
        "prune_then_train",
        "tied_biases",
        "weight_norm_then_flatten",
    },
    errors_are_hidden: {"wrong_feature_size", "no_time_steps", "batch_first_state"},
    samples_are_mixed: {"sample_with_extreme_values", "unbatched"},
    random_output: {"dropout_with_a_seed", "batch_first_gives_the_same_values"},
    directions_are_swapped: {"final_states_in_the_output", "order_of_states"},
    states_in_packed_order: {"unsorted_lengths"},
}


@pytest.mark.parametrize("bug", CAUGHT_BY, ids=lambda bug: bug.__name__)
def test_a_planted_bug_changes_outcomes(bug: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "planted", planted(bug))
    for report in ALL:
        if report.name in CAUGHT_BY[bug]:
            assert not report.torch_nn.includes(report.observe("planted")), report.name


def crash(layers: Any) -> None:
    os.abort()


@pytest.mark.slow
def test_a_crash_is_an_outcome() -> None:
    report = Report("a/b#1", "", crash, WORKS, WORKS, invalid=True, may_crash=True)
    assert report.observe("scratch_cells") == Outcome("wrong", "the process crashes")
