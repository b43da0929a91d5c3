"""Possible layouts of a parameter, by its shape."""

import pytest
import torch

from cell_verifier.parameters.layouts import ParameterLayout, possible_layouts
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE

H, I = HIDDEN_SIZE, INPUT_SIZE  # noqa: E741 - the letters of the whole package


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((4 * H, I), ParameterLayout(("rows", "in"), ("x",), 4)),
        ((I, 4 * H), ParameterLayout(("in", "rows"), ("x",), 4)),
        ((2 * H, I), ParameterLayout(("rows", "in"), ("x",), 2)),
        ((4, I, H), ParameterLayout(("gate", "in", "unit"), ("x",), 4)),
        ((4 * H, H + 1), ParameterLayout(("rows", "in"), ("h", "1"), 4)),
        ((4 * H, 1, I), ParameterLayout(("rows", "in"), ("x",), 4)),
        ((4 * H,), ParameterLayout(("rows",), (), 4)),
        ((H,), ParameterLayout(("rows",), (), 1)),
        ((H, 4), ParameterLayout(("unit", "gate"), (), 4)),
        ((2, 4 * H), ParameterLayout(("side", "rows"), (), 4)),
    ],
)
def test_a_shape_without_equal_axes_has_one_layout(
    shape: tuple[int, ...], layout: ParameterLayout
) -> None:
    assert possible_layouts(shape, gates=4) == [layout]


def test_a_joined_matrix_may_hold_x_and_h_in_either_order() -> None:
    layouts = possible_layouts((4 * H, I + H), gates=4)
    assert [layout.parts for layout in layouts] == [("x", "h"), ("h", "x")]


def test_a_square_matrix_may_be_transposed() -> None:
    layouts = possible_layouts((H, H), gates=4)
    assert sorted(layout.transposed for layout in layouts) == [False, True]


def test_a_transposed_layout_has_the_suffix_t() -> None:
    assert [layout.suffix() for layout in possible_layouts((I, 4 * H), gates=4)] == [".T"]
    assert [layout.suffix() for layout in possible_layouts((4 * H, I), gates=4)] == [""]


@pytest.mark.parametrize("shape", [(5,), (5 * H,), (5 * H, I), (4 * H, I + 2), (3, 3, 3, 3)])
def test_other_shapes_have_no_layout(shape: tuple[int, ...]) -> None:
    assert possible_layouts(shape, gates=4) == []


def test_gate_rows_have_torchs_axes_for_every_layout() -> None:
    """One weight (4, H, I), stored in four layouts, is read back as (4, H, I)."""
    weight = torch.arange(4.0 * H * I).view(4, H, I)
    stored = {
        ("rows", "in"): weight.flatten(0, 1),
        ("in", "rows"): weight.flatten(0, 1).T,
        ("unit", "in", "gate"): weight.permute(1, 2, 0),
        ("gate", "in", "unit"): weight.transpose(1, 2),
    }
    for axes, parameter in stored.items():
        assert torch.equal(ParameterLayout(axes, ("x",), 4).gate_rows(parameter), weight)


def test_gate_rows_select_one_of_two_biases() -> None:
    both = torch.arange(2.0 * 4 * H).view(2, 4 * H)
    layout = ParameterLayout(("side", "rows"), (), 4)
    assert torch.equal(layout.gate_rows(both, side=1), both[1].view(4, H))
