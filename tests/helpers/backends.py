"""The ways to run a cell along a sequence, by name, and which of them a result came by."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

import scratch_cells
from scratch_cells.backends.bptt import ThroughTime, unroll_by_hand
from scratch_cells.backends.c_backend import COMPILED, unroll_compiled, walks
from scratch_cells.unroll import unroll
from tests.helpers.strategies import KINDS

WAYS = {"by hand": unroll_by_hand, "compiled": unroll_compiled, "plain": unroll}

LAYERS = {
    way: SimpleNamespace(
        **{kind: partial(getattr(scratch_cells, kind), backend=backend) for kind in KINDS}
    )
    for way, backend in (("by hand", "by_hand"), ("compiled", "auto"))
}

needs_gcc = pytest.mark.skipif(walks(torch.float32) is None, reason="walks.c cannot be compiled")

EACH_WAY = pytest.mark.parametrize("way", ["by hand", pytest.param("compiled", marks=needs_gcc)])
"""Each way that is not the plain loop."""


def way_of(output: Tensor) -> str:
    """By which of WAYS these outputs, which a gradient can be asked of, came about."""
    node = output.grad_fn
    if type(node).__name__ != f"{ThroughTime.__name__}Backward":
        return "plain"
    return "compiled" if node.derivation in COMPILED.values() else "by hand"
