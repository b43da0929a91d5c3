"""Tensors of a known form are recognized, and every deviation from it is found.

The form of the operands of a call is known from the call before. That a deviation of a cell or of a
mode is found is in ``test_eligibility``, whose calls have known forms, too.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import scratch_cells
from scratch_cells.backends import eligibility, saved_tensors, tensor_forms
from scratch_cells.backends.eligibility import is_plain_tensor
from scratch_cells.backends.repeated_calls import KeptCalls
from scratch_cells.backends.tensor_forms import TensorForm, form_of, guards_of
from scratch_cells.cell import parts
from tests.helpers.backends import CELLS, draw, each_kind, needs_c, unroll_with


class Subclass(Tensor):
    pass


def resized(tensor: Tensor, elements: int) -> Tensor:
    tensor.untyped_storage().resize_(elements * tensor.itemsize)
    return tensor


def shifted(tensor: Tensor) -> Tensor:
    """The same elements, at the end of a larger storage."""
    return torch.cat([tensor.flatten(), tensor.flatten()])[tensor.numel() :].view(tensor.shape)


SAME: dict[str, Callable[[Tensor], Tensor]] = {
    "itself": lambda t: t,
    "a copy": Tensor.clone,
    "an alias": Tensor.detach,
    "with an offset": shifted,
    "with a larger storage": lambda t: resized(t, 100),
}
OTHER: dict[str, Callable[[Tensor], Tensor]] = {
    "a subclass": lambda t: t.as_subclass(Subclass),
    "a parameter": nn.Parameter,
    "requires a gradient": lambda t: t.requires_grad_(),
    "lazily negated": torch._neg_view,
    "zero without memory": lambda t: torch._efficientzerotensor(t.shape, dtype=t.dtype),
    "of another dtype": Tensor.float,
    "of another device": lambda t: t.to("meta"),
    "sparse": Tensor.to_sparse,
    "a row less": lambda t: t[:-1],
    "a dimension more": lambda t: t.unsqueeze(0),
    "transposed in memory": lambda t: t.t().contiguous().t(),
    "expanded": lambda t: t[:1].expand_as(t),
    "larger than its storage": lambda t: resized(t, t.numel() - 1),
    "without a storage": lambda t: resized(t, 0),
    "an offset beyond its storage": lambda t: resized(shifted(t), 2 * t.numel() - 1),
}


def matrix() -> Tensor:
    return torch.arange(12.0, dtype=torch.float64).view(3, 4)


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("change", SAME)
def test_the_same_form_matches(change: str, position: int) -> None:
    tensors = [matrix(), matrix()]
    form = TensorForm(tensors)
    tensors[position] = SAME[change](matrix())
    assert form.matches(tensors)


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("change", OTHER)
def test_another_form_does_not_match(change: str, position: int) -> None:
    tensors = [matrix(), matrix()]
    form = TensorForm(tensors)
    tensors[position] = OTHER[change](matrix())
    assert not form.matches(tensors)
    form_of_changed = form_of({"key": form}, "key", tensors)
    storages = ("larger than its storage", "without a storage", "an offset beyond its storage")
    assert (form_of_changed is form) == (change in storages)  # of known form, but do not fit


def test_one_tensor_in_two_places_does_not_match() -> None:
    first, second = matrix(), matrix()
    assert not TensorForm([first, second]).matches([first, first])


@given(
    shape=st.lists(st.integers(0, 3), max_size=3),
    other=st.lists(st.integers(0, 3), max_size=3),
    strides=st.lists(st.integers(0, 4), min_size=3, max_size=3),
    offset=st.integers(0, 5),
    elements=st.integers(0, 20),
)
def test_whatever_matches_is_a_plain_tensor_of_the_same_shape(
    shape: list[int], other: list[int], strides: list[int], offset: int, elements: int
) -> None:
    memory = torch.zeros(100)
    form = TensorForm([memory.as_strided(shape, strides[: len(shape)])])
    drawn = torch.zeros(100).as_strided(other, strides[: len(other)], offset)
    resized(drawn, elements)
    if form.matches([drawn]):
        assert is_plain_tensor(drawn)
        assert list(drawn.shape) == shape
    elif shape == other and drawn.numel():
        assert not is_plain_tensor(drawn)


def test_the_number_of_forms_is_limited() -> None:
    forms: tensor_forms.Forms = {}
    for key in range(tensor_forms.MAX_FORMS + 1):
        form_of(forms, key, [matrix()])
    assert len(forms) == 1


def fail(*_: Any) -> Any:
    raise AssertionError("the tensors were checked one by one")


@needs_c
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("time", [1, 40])
def test_the_tensors_of_a_usual_call_are_recognized(
    time: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a change of torch's private test would only make every call slower."""
    assert guards_of([torch.zeros(3), torch.zeros(3)]) is not None
    layer = getattr(scratch_cells, kind)(3, 4, num_layers=2)
    x = torch.randn(time, 2, 3)
    eligibility.OPERAND_FORMS.clear()  # else it may be full, and begin again between two calls
    saved_tensors.SAVED_FORMS.clear()
    layer(x)[0].sum().backward()
    torch.no_grad()(layer)(x)
    monkeypatch.setattr(eligibility, "_operand_problem_in_detail", fail)
    layer._kept_calls = KeptCalls()  # nothing is decided before
    layer(x.clone())
    monkeypatch.setattr(saved_tensors, "_is_as_expected", fail)
    layer(x.clone())[0].sum().backward()
    with torch.no_grad():
        layer(torch.randn(2 * time, 2, 3)[time:])


@each_kind
@needs_c
def test_without_torchs_test_the_results_are_the_same(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for guards in (guards_of, lambda tensors: None):
        monkeypatch.setattr(tensor_forms, "guards_of", guards)
        eligibility.OPERAND_FORMS.clear()
        saved_tensors.SAVED_FORMS.clear()
        torch.manual_seed(0)
        cell = CELLS[kind](3, 4)
        x, state = draw(cell, 5, 2)
        output, final = unroll_with("c", cell, x, state)
        leaves = [x, *parts(state), *cell.parameters()]
        seen.append([output, *parts(final), *torch.autograd.grad(output.sum(), leaves)])
        assert type(output.grad_fn).__name__ in ("CallFunctionBackward", "BPTTFunctionBackward")
    assert all(map(torch.equal, *seen))
    eligibility.OPERAND_FORMS.clear()
    saved_tensors.SAVED_FORMS.clear()


def test_missing_states_and_biases_are_part_of_the_form() -> None:
    """Two calls whose tensors are the same, but in other places."""
    cell = scratch_cells.LSTMCell(4, 4, bias=False)
    x, (h, c) = torch.randn(5, 2, 4), (torch.randn(2, 4), torch.randn(2, 4))
    for state in ((h, c), (h, None), (None, c), None):
        operands = eligibility.operands_of(cell, x, state)  # type: ignore[arg-type]  # parts missing
        assert eligibility.operand_problem("lstm", operands) is None
    wrong = eligibility.operands_of(cell, x, (None, torch.randn(2, 3)))  # type: ignore[arg-type]  # as above
    assert "the cell state has shape" in str(eligibility.operand_problem("lstm", wrong))
