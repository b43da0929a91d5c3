"""The verifier's equations, without mistakes, against torch.nn's own modules."""

import pytest

from cell_verifier.reference.kinds import KINDS
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE, draw_probe
from cell_verifier.reference.simulate import LayerConfig, run_cell, run_layer
from cell_verifier.reference.torch_modules import run_torch_cell, run_torch_layer
from tests.cell_verifier.drawn import draw_weights, max_difference


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_the_equations_of_a_cell_are_torchs(kind: str) -> None:
    weights = draw_weights(kind)
    probe = draw_probe(KINDS[kind])
    ours = run_cell(KINDS[kind], weights, probe, {})
    theirs = run_torch_cell(KINDS[kind], weights, probe)
    assert max_difference(ours, theirs) < 1e-12


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("dropout", [0.0, 1.0])
def test_the_equations_of_a_bidirectional_two_layer_module_are_torchs(
    kind: str, dropout: float
) -> None:
    config = LayerConfig(num_layers=2, num_directions=2, dropout=dropout)
    sizes = [INPUT_SIZE, INPUT_SIZE, 2 * HIDDEN_SIZE, 2 * HIDDEN_SIZE]
    weights = [draw_weights(kind, size) for size in sizes]
    probe = draw_probe(KINDS[kind], cells=4)
    ours = run_layer(KINDS[kind], weights, probe, {}, config)
    theirs = run_torch_layer(KINDS[kind], weights, probe, config, training=True)
    assert max_difference(ours, theirs) < 1e-12
