"""Sorting the parameters into groups of one gate or of several."""

import torch
from torch import nn

from cell_verifier.parameters.groups import groupings, user_parameters
from cell_verifier.reference.kinds import GRU, LSTM
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE

H, I = HIDDEN_SIZE, INPUT_SIZE  # noqa: E741 - the letters of the whole package


class Separate(nn.Module):
    """One parameter per name, with the shape given."""

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape)))


def test_stacked_parameters_are_one_group_with_all_gates() -> None:
    grouping = next(groupings(nn.LSTMCell(I, H), LSTM))
    assert [matrix.name for matrix in grouping.whole.matrices] == ["weight_ih", "weight_hh"]
    assert [bias.name for bias, _ in grouping.whole.biases] == ["bias_ih", "bias_hh"]
    assert grouping.groups == ()
    assert grouping.extra == ()


def test_the_parameters_of_one_linear_per_gate_form_one_group_per_gate() -> None:
    module = nn.ModuleDict({gate: nn.Linear(I + H, H) for gate in LSTM.gates})
    grouping = next(groupings(module, LSTM))
    names = [
        [*(m.name for m in g.matrices), *(b.name for b, _ in g.biases)] for g in grouping.groups
    ]
    assert names == [[f"{gate}.weight", f"{gate}.bias"] for gate in LSTM.gates]
    assert all(group.gates == 1 for group in grouping.groups)


def test_separate_matrices_are_paired_by_name_rather_than_by_order() -> None:
    module = Separate(
        W_xr=(H, I), W_xz=(H, I), W_xn=(H, I), W_hn=(H, H), W_hr=(H, H), W_hz=(H, H)
    )  # fmt: skip
    grouping = next(groupings(module, GRU))
    pairs = [tuple(matrix.name for matrix in group.matrices) for group in grouping.groups]
    assert pairs == [("W_xr", "W_hr"), ("W_xz", "W_hz"), ("W_xn", "W_hn")]


def test_separate_biases_are_assigned_by_name_rather_than_by_order() -> None:
    module = Separate(
        W_xr=(H, I), W_hr=(H, H), W_xz=(H, I), W_hz=(H, H), W_xn=(H, I), W_hn=(H, H),
        b_n=(H,), b_r=(H,), b_z=(H,),
    )  # fmt: skip
    grouping = next(groupings(module, GRU))
    assert [[bias.name for bias, _ in group.biases] for group in grouping.groups] == [
        ["b_r"],
        ["b_z"],
        ["b_n"],
    ]


def test_the_bias_of_a_linear_map_of_h_is_b_hh() -> None:
    module = nn.ModuleDict({"x": nn.Linear(I, 3 * H), "h": nn.Linear(H, 3 * H)})
    grouping = next(groupings(module, GRU))
    sides = {bias.name: side for bias, side in grouping.whole.biases}
    assert sides == {"x.bias": "b_ih", "h.bias": "b_hh"}


def test_the_parameters_of_a_normalization_are_extra() -> None:
    module = nn.ModuleDict({"cell": nn.LSTMCell(I, H), "norm": nn.LayerNorm(H)})
    parameters, extra = user_parameters(module, LSTM, without=())
    assert extra == ["norm.weight", "norm.bias"]
    assert len(parameters) == 4


def test_additional_weights_of_c_are_possible_peepholes_in_an_lstm_and_extra_in_a_gru() -> None:
    lstm = nn.ModuleDict({"cell": nn.LSTMCell(I, H), "peephole": Separate(p=(H,))})
    assert [p.name for p in next(groupings(lstm, LSTM)).peepholes] == ["peephole.p"]
    gru = nn.ModuleDict({"cell": nn.GRUCell(I, H), "peephole": Separate(p=(H,))})
    assert next(groupings(gru, GRU)).extra == ("peephole.p",)
