"""A program: a recurrent layer with fixed weights that is only called, such as an ONNX file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from cell_verifier.formats.weights import LayerWeights


@dataclass(frozen=True)
class Program:
    """A recurrent layer that can be called, and what is known of it without a call.

    Attributes:
        name: the file's name, or the type of the object.
        run: called with x and, where it takes one, the state: tensors. It returns tensors, in any
            nesting.
        arrays: the arrays in it, by name.
        weights: the weights in it, if its operators or its class define which array is which.
        dtype: dtype of its input.
        sizes: its declared number of time steps or samples along the first two axes of x; None
            where any is accepted or nothing is declared.
        state_forms: how a state may be passed: ``"tuple"``, one argument; ``"separate"``, an
            argument for each part; ``"none"``.
        batch_first: layout of x, if it is known.
        hints: remarks on its operators, for the report.
        is_quantised: whether it contains quantised weights.
        module: the torch module, if it is one: its gradients and its train mode are compared, too.
    """

    name: str
    run: Callable[..., Any]
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    weights: LayerWeights | None = None
    dtype: torch.dtype = torch.float32
    sizes: tuple[int | None, int | None] = (None, None)
    state_forms: tuple[str, ...] = ("tuple", "separate", "none")
    batch_first: bool | None = None
    hints: tuple[str, ...] = ()
    is_quantised: bool = False
    module: nn.Module | None = None
