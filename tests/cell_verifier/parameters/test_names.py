"""Groups of parameters by name."""

import pytest

from cell_verifier.parameters.names import group_by_mark, marks_of, role_hint, series_by_marks


def test_names_that_differ_only_in_the_mark_form_a_series_in_any_order() -> None:
    marks = marks_of(["x.i.w", "x.f.w", "x.o.w"])
    assert marks == ["i", "f", "o"]
    assert series_by_marks(["h.o.w", "h.i.w", "h.f.w", "p.i.w"], marks) == [
        ("h.i.w", "h.f.w", "h.o.w")
    ]


def test_a_single_name_has_an_empty_mark_and_no_series() -> None:
    assert marks_of(["weight"]) == [""]
    assert series_by_marks(["weight", "bias"], [""]) == []


def test_a_mark_is_found_as_a_word_or_at_the_end_of_a_name() -> None:
    assert group_by_mark("b_f", ["i", "f", "o"]) == 1
    assert group_by_mark("bhf", ["i", "f", "o"]) == 1
    assert group_by_mark("bias", ["i", "f", "o"]) is None


def test_a_name_with_several_marks_belongs_to_no_group() -> None:
    assert group_by_mark("b_i_f", ["i", "f", "o"]) is None


@pytest.mark.parametrize(
    ("name", "gate"),
    [
        ("W_hf", "forget"),
        ("forgetGate.weight", "forget"),
        ("update.bias", "update"),
        ("gates.o.weight", "output"),
        ("W_cand", "candidate"),
        ("biasf", "forget"),
    ],
)
def test_a_name_suggests_the_gate_that_it_contains(name: str, gate: str) -> None:
    assert role_hint(name, gate)


def test_weight_and_bias_suggest_no_gate() -> None:
    assert not any(role_hint("weight", gate) for gate in ("input", "forget", "output"))
    assert not role_hint("linear.bias", "input")
