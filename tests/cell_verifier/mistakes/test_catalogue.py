"""The catalogue of mistakes: its ids, and that every way to make a mistake is distinct."""

import pytest

from cell_verifier.mistakes import CATALOGUE, layer, step, variants, weights
from cell_verifier.mistakes.mistake import Mistake, apply_to_weights, compatible, stages_of
from cell_verifier.reference.kinds import KINDS
from cell_verifier.reference.probes import draw_probe
from cell_verifier.reference.simulate import run_cell
from cell_verifier.reference.torch_modules import run_torch_cell
from tests.cell_verifier.cells.collection import WRONG
from tests.cell_verifier.drawn import draw_weights, max_difference

IDS = [
    "gate-order",
    "reshape-not-chunk",
    "missing-bias",
    "double-bias",
    "wrong-gate-bias",
    "forget-bias-added",
    "hard-sigmoid",
    "sigmoid-candidate",
    "relu-candidate",
    "added-not-multiplied",
    "swapped-input-forget",
    "coupled-gates",
    "peepholes",
    "tanh-stored-cell",
    "missing-output-tanh",
    "tanh-after-output-gate",
    "output-from-old-cell",
    "state-order",
    "cell-not-carried",
    "hidden-not-carried",
    "reset-before-matmul",
    "reset-outside-bias",
    "reset-over-everything",
    "no-reset",
    "swapped-update",
    "untransposed-recurrent",
    "wrong-nonlinearity",
    "batch-time-mixup",
    "view-not-transpose",
    "reverse-not-flipped",
    "separate-direction-stacks",
    "state-layout",
    "shared-initial-state",
    "first-layer-input",
    "dropout-on-last-layer",
    "detached-state",
    "state-not-used",
]


def test_every_mistake_has_wrong_cells_in_two_styles() -> None:
    assert sorted(CATALOGUE) == sorted(IDS)
    for mistake in IDS:
        assert len({case.style for case in WRONG if case.mistakes == (mistake,)}) >= 2, mistake


def test_the_catalogue_has_every_mistake_of_the_three_modules() -> None:
    defined = [
        each
        for module in (layer, step, weights)
        for each in vars(module).values()
        if isinstance(each, Mistake)
    ]
    assert sorted(CATALOGUE) == sorted(each.id for each in defined)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_no_two_mistakes_of_a_step_are_the_same_function(kind: str) -> None:
    """Each variant gives different outputs, so a match identifies one mistake."""
    drawn, probe = draw_weights(kind), draw_probe(KINDS[kind])
    results = {
        f"{each.id}: {each.change.detail}": run_cell(
            KINDS[kind], apply_to_weights((each,), drawn), probe, stages_of((each,))
        )
        for each in variants(kind, "step", "boundary")
    }
    results["torch.nn"] = run_torch_cell(KINDS[kind], drawn, probe)
    names = list(results)
    for n, one in enumerate(names):
        for other in names[:n]:
            assert max_difference(results[one], results[other]) > 1e-4, (one, other)


def test_mistakes_that_replace_the_same_stage_are_not_combined() -> None:
    by_id = {each.id: each for each in variants("lstm", "step")}
    assert not compatible(by_id["coupled-gates"], by_id["added-not-multiplied"])
    assert not compatible(by_id["gate-order"], by_id["gate-order"])
    assert compatible(by_id["coupled-gates"], by_id["missing-output-tanh"])
