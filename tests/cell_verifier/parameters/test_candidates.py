"""The candidate correspondences: their number, their order, and the rules that bound them."""

import torch
from torch import nn

from cell_verifier.parameters.candidates import MAX_CANDIDATES, candidates, match_torch_names
from cell_verifier.parameters.correspondence import named_parameters
from cell_verifier.reference.kinds import GRU, LSTM, RNN
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE
from tests.cell_verifier.parameters.test_groups import Separate

H, I = HIDDEN_SIZE, INPUT_SIZE  # noqa: E741 - the letters of the whole package


def test_parameters_with_torchs_names_have_one_candidate_which_is_torchs() -> None:
    module = nn.GRUCell(I, H)
    (correspondence,) = candidates(module, GRU)
    read = correspondence.read(named_parameters(module), I, H)
    assert torch.equal(read.ih.flatten(0, 1), module.weight_ih)
    assert torch.equal(read.b_hh.flatten(), module.bias_hh)


def test_torchs_names_with_other_shapes_are_not_matched_by_name() -> None:
    module = Separate(weight_ih=(I, 3 * H), weight_hh=(H, 3 * H))
    assert match_torch_names(module, GRU) is None
    assert candidates(module, GRU)


def test_every_assignment_of_gates_is_tried_and_the_one_by_name_first() -> None:
    module = nn.ModuleDict({f"W_{letter}": nn.Linear(I + H, H) for letter in "ogfi"})
    found = candidates(module, LSTM)
    assert len(found) == 24 * 2  # assignments of four gates; [x, h] or [h, x]
    gates = {placed.parameter: placed.gates for placed in found[0].placements}
    assert gates["W_i.weight"] == (0,)
    assert gates["W_f.weight"] == (1,)
    assert gates["W_g.weight"] == (2,)
    assert gates["W_o.weight"] == (3,)


def test_the_number_of_candidates_is_bounded() -> None:
    """Two pairings, 24 assignments, two orientations and 6 orders of peepholes are 576."""
    module = Separate(
        **{f"U{n}": (I, H) for n in (0, 1, 2, 3)},
        **{f"V{n}": (H, H) for n in (3, 0, 1, 2)},
        **{f"b{n}": (H,) for n in range(7)},
    )
    assert len(candidates(module, LSTM)) == MAX_CANDIDATES


def test_an_unused_bias_keeps_its_place() -> None:
    module = nn.ModuleDict({"x": nn.Linear(I, H), "h": nn.Linear(H, H)})
    found = candidates(module, RNN, unused=("h.bias",))
    assert found
    assert all(each.extra == () for each in found)
    assert all(each.bias_count() == 2 for each in found)


def test_an_unused_classifier_is_set_aside() -> None:
    module = nn.ModuleDict({"cell": nn.RNNCell(I, H), "classifier": nn.Linear(H, 10)})
    found = candidates(module, RNN, unused=("classifier.weight", "classifier.bias"))
    assert set(found[0].extra) == {"classifier.weight", "classifier.bias"}
    assert found[0].bias_count() == 2


def transpositions(module: nn.Module, name: str) -> set[bool]:
    return {
        placed.layout.transposed
        for each in candidates(module, RNN)
        for placed in each.placements
        if placed.parameter == name
    }


def test_a_square_matrix_has_the_orientation_of_the_input_matrix() -> None:
    assert transpositions(Separate(w=(H, I), u=(H, H)), "u") == {False}


def test_both_orientations_are_tried_if_the_input_matrix_is_transposed() -> None:
    assert transpositions(Separate(w=(I, H), u=(H, H)), "u") == {False, True}


def test_without_a_recurrent_matrix_there_is_no_candidate() -> None:
    assert candidates(nn.Linear(I, H), RNN) == []
