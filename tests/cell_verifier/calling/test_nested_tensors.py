"""Nested states: taken apart and rebuilt in the same nesting."""

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from cell_verifier.calling.nested_tensors import leaves, rebuild


class Pair(NamedTuple):
    h: Tensor
    c: Tensor


@dataclass
class State:
    h: Tensor
    c: Tensor


A, B = torch.zeros(2), torch.ones(2)


@pytest.mark.parametrize(
    "nested",
    [(A, B), [A, [B]], {"h": A, "c": B}, Pair(A, B), State(A, B), (A, None, "text", (B,))],
    ids=lambda nested: type(nested).__name__,
)
def test_a_nesting_is_rebuilt_with_other_tensors(nested: object) -> None:
    first, second = leaves(nested)
    assert first is A
    assert second is B
    rebuilt = rebuild(nested, [B, A])
    assert type(rebuilt) is type(nested)
    first, second = leaves(rebuilt)
    assert first is B
    assert second is A


def test_a_tensor_is_its_own_leaf() -> None:
    assert leaves(A)[0] is A
    assert leaves(None) == []
