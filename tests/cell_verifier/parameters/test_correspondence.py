"""Reading torch.nn's weights from the user's parameters, and the syntax of the mapping."""

import pytest
import torch
from torch import nn

from cell_verifier.parameters.candidates import candidates
from cell_verifier.parameters.correspondence import Correspondence, Placement, named_parameters
from cell_verifier.parameters.explicit import parse_mapping
from cell_verifier.parameters.layouts import ParameterLayout
from cell_verifier.reference.kinds import LSTM, RNN
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE

H, I = HIDDEN_SIZE, INPUT_SIZE  # noqa: E741 - the letters of the whole package


def test_a_joined_matrix_with_a_bias_column_is_read_as_three_weights() -> None:
    layout = ParameterLayout(("rows", "in"), ("h", "x", "1"), 1)
    placements = tuple(Placement("w", layout, target, (0,)) for target in ("hh", "ih", "b_ih"))
    w = torch.randn(H, H + I + 1)
    read = Correspondence(RNN, placements).read({"w": w}, I, H)
    assert torch.equal(read.hh[0], w[:, :H])
    assert torch.equal(read.ih[0], w[:, H : H + I])
    assert torch.equal(read.b_ih[0], w[:, -1])
    assert not read.b_hh.any()


def test_reading_a_matrix_of_another_width_raises_value_error() -> None:
    placement = Placement("w", ParameterLayout(("rows", "in"), ("x",), 1), "ih", (0,))
    with pytest.raises(ValueError, match="w is not 8 wide"):
        placement.read(torch.zeros(H, I + 1), I, H)


def test_one_peephole_weight_per_unit_is_read_as_a_diagonal_matrix() -> None:
    placement = Placement("p", ParameterLayout(("rows",), (), 1), "peephole", (3,))
    p = torch.randn(H)
    read = Correspondence(LSTM, (placement,)).read({"p": p}, I, H)
    assert torch.equal(read.peephole[3], torch.diag(p))
    assert not read.peephole[:3].any()


def test_the_mapping_in_the_report_can_be_parsed_again() -> None:
    module = nn.ModuleDict({gate: nn.Linear(I + H, H) for gate in LSTM.gates})
    correspondence = candidates(module, LSTM)[0]
    mapping = correspondence.as_mapping()
    assert mapping["forget.weight"] == "weight_ih[forget] | weight_hh[forget]"
    parsed = parse_mapping(module, LSTM, mapping)
    parameters = named_parameters(module)
    for ours, theirs in zip(
        parsed.read(parameters, I, H), correspondence.read(parameters, I, H), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_the_targets_in_the_mapping_have_the_order_of_the_columns() -> None:
    layout = ParameterLayout(("rows", "in"), ("h", "x"), 1)
    placements = tuple(Placement("w", layout, target, (0,)) for target in ("ih", "hh"))
    assert Correspondence(RNN, placements).as_mapping() == {"w": "weight_hh | weight_ih"}


@pytest.mark.parametrize(("bias", "count"), [(True, 2), (False, 0)])
def test_bias_count_is_that_of_the_cell(bias: bool, count: int) -> None:
    (correspondence,) = candidates(nn.LSTMCell(I, H, bias=bias), LSTM)
    assert correspondence.bias_count() == count
