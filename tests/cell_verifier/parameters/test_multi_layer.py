"""The parameters of a multi-layer module, cell by cell."""

import torch
from torch import nn

from cell_verifier.parameters.candidates import candidates
from cell_verifier.parameters.correspondence import named_parameters
from cell_verifier.parameters.multi_layer import arrangements
from cell_verifier.reference.kinds import RNN
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE
from cell_verifier.reference.simulate import LayerConfig

H, I = HIDDEN_SIZE, INPUT_SIZE  # noqa: E741 - the letters of the whole package


def test_torchs_names_give_each_cell_its_own_weights() -> None:
    single, several = nn.RNN(I, H), nn.RNN(I, H, num_layers=2, bidirectional=True)
    config = LayerConfig(num_layers=2, num_directions=2)
    parameters = named_parameters(several)
    (base,) = candidates(single, RNN)
    (arrangement,) = arrangements(base, list(named_parameters(single)), parameters, config, I)
    assert arrangement.has_torch_input_sizes(config)
    suffixes = ("l0", "l0_reverse", "l1", "l1_reverse")
    for suffix, weights in zip(suffixes, arrangement.read(parameters), strict=True):
        assert torch.equal(weights.ih[0], parameters[f"weight_ih_{suffix}"])
        assert torch.equal(weights.b_hh[0], parameters[f"bias_hh_{suffix}"])


def test_a_module_with_too_few_parameters_has_no_arrangement() -> None:
    single = nn.RNN(I, H)
    (base,) = candidates(single, RNN)
    names = list(named_parameters(single))
    config = LayerConfig(num_layers=2)
    assert list(arrangements(base, names, named_parameters(single), config, I)) == []
