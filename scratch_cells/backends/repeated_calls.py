"""Calls of a layer that repeat an earlier one, and need no new decision.

A time step takes a few microseconds of arithmetic. To check the arguments and to decide which
backend runs takes twenty, and most programs make the same call again and again, with other values.
So a layer keeps what it has decided, together with the conditions under which it would decide the
same, as ``torch.compile`` keeps a program with its guards. The conditions are checked in every
call. If one of them does not hold, the layer decides again.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from operator import attrgetter, is_, itemgetter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scratch_cells.backends.c_call import SequenceCall, apply_call
from scratch_cells.backends.eligibility import autocast_is_on, context_problem, kind_of
from scratch_cells.backends.modifications import modification
from scratch_cells.backends.tensor_forms import TensorForm
from scratch_cells.cell import Cell, parts
from scratch_cells.unroll import Unroll
from shared_interface import State

MAX_CALLS = 64
"""Calls that a layer keeps. A program with more, such as one for each length, begins again."""

OPTIONS = itemgetter("backend", "input_size", "batch_first", "bidirectional")
"""The attributes of a layer on which a call depends, from the dictionary of all attributes."""

METHODS = (
    *("run", "_run", "_run_cell", "given_state", "initial_state"),
    *("share_weights", "_are_the_same", "_each_cell"),
)
"""The methods that a repeated call does not run."""

methods_of = attrgetter(*METHODS)
"""The functions of these names in a class."""

BETWEEN_CELLS = [
    (torch, attrgetter("cat")),
    (F, attrgetter("dropout")),
    (Tensor, attrgetter("transpose", "unsqueeze", "__getitem__", "detach", "contiguous")),
]
"""Functions of torch that make what a cell reads. Their results are not checked one by one."""

ORIGINAL_FUNCTIONS = [getter(owner) for owner, getter in BETWEEN_CELLS]

OF_LINEAR = itemgetter("weight", "bias")
OF_CELL = itemgetter("weight_ih", "bias_ih", "weight_hh", "bias_hh")

CellWeights = tuple[Tensor | None, ...]
"""W_ih, W_hh, b_ih and b_hh."""


@dataclass(frozen=True)
class KeptCall:
    """What was decided for a call.

    Attributes:
        form: the form of x, of the parts of the initial state, and of the weights.
        kinds: the kind of each cell: see ``kind_of``.
        calls: the call of C of each cell.
    """

    form: TensorForm
    kinds: list[str | None]
    calls: list[SequenceCall]


class KeptCalls:
    """The calls that a layer keeps. A copy of the layer begins with none."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, KeptCall | None] = {}  # None: made once, and not yet kept

    def __reduce__(self) -> Any:
        """A pickled or copied layer keeps no calls."""
        return KeptCalls, ()

    def find(self, layer: Any, input: Any, hx: Any) -> Unroll | None:
        """What runs the cells in a call that repeats one of these, else None.

        Args:
            layer: a ``RecurrentStack`` with the methods of that class.
            input, hx: the arguments of its call.
        """
        if not _may_repeat(layer, input):
            return None
        key = _key(layer, input, hx)
        kept = self._kept.get(key)
        if kept is None:
            return None
        weights = _unmodified_weights(layer, kept.kinds)
        if weights is None or not kept.form.matches(_tensors(input, hx, weights)):
            self._kept.pop(key, None)  # another thread may have removed it
            return None
        return _repeat(kept.calls, weights)

    def keep(self, layer: Any, input: Any, hx: Any) -> None:
        """Keep a call that was just made, if this is the second one of its kind.

        Args:
            layer, input, hx: as for ``find``.
        """
        if not _may_repeat(layer, input) or autocast_is_on(input):
            return
        key = _key(layer, input, hx)
        if key not in self._kept:
            if len(self._kept) >= MAX_CALLS:
                self._kept.clear()
            self._kept[key] = None
            return
        kinds = [kind_of(cell) for cell in layer.cells]
        weights = _unmodified_weights(layer, kinds)
        calls = None if weights is None else layer.calls_of_cells(input, hx)
        if weights is None or calls is None:
            return
        tensors = _tensors(input, hx, weights)
        form = TensorForm(tensors)
        if form.matches(tensors):
            self._kept[key] = KeptCall(form, kinds, calls)


def _may_repeat(layer: Any, input: Any) -> bool:
    """Whether nothing has to see every operation, and the layer has the methods of its class."""
    return (
        context_problem() is None  # first: also whether torch records the operations
        and type(input) is Tensor
        and methods_of(type(layer)) == layer.original_methods
        and vars(layer).keys().isdisjoint(METHODS)
        and [getter(owner) for owner, getter in BETWEEN_CELLS] == ORIGINAL_FUNCTIONS
    )


def _key(layer: Any, input: Any, hx: Any) -> Hashable:
    """What determines the decisions for a call, besides the forms of the tensors."""
    return *OPTIONS(vars(layer)), input.shape, type(hx), torch.get_num_threads()


def _tensors(input: Any, hx: Any, weights: list[CellWeights]) -> list[Any]:
    """x, the parts of the state if it is given, and the weights and biases that are not None."""
    tensors = [input] if hx is None else [input, *parts(hx)]
    return tensors + [each for of_cell in weights for each in of_cell if each is not None]


def _unmodified_weights(layer: Any, kinds: list[str | None]) -> list[CellWeights] | None:
    """The weights of each cell; None if a cell is modified or a weight not where it belongs."""
    weights: list[CellWeights] = []
    of_layer: list[Any] = []
    of_linears: list[Any] = []
    registered: list[Any] = []
    try:
        for cell, kind in zip(layer._modules["cells"]._modules.values(), kinds, strict=True):
            if kind is None or kind_of(cell) != kind or modification(cell) is not None:
                return None
            of_input = cell._modules["input_to_hidden"]._parameters
            of_hidden = cell._modules["hidden_to_hidden"]._parameters
            w_ih, b_ih, w_hh, b_hh = of_cell = OF_LINEAR(of_input) + OF_LINEAR(of_hidden)
            weights.append((w_ih, w_hh, b_ih, b_hh))
            of_layer += of_cell
            of_linears += of_cell
            registered += OF_CELL(cell._parameters)
        if not layer.bias:
            of_layer = [each for each in of_layer if each is not None]
        of_linears += of_layer + of_layer
        registered += layer.weights_in(layer._parameters) + layer.weights_in(layer._shared)
    except (KeyError, AttributeError, ValueError):  # something is missing, or in another's place
        return None
    return weights if all(map(is_, of_linears, registered)) else None


def _repeat(calls: list[SequenceCall], weights: list[CellWeights]) -> Unroll:
    """A function that makes these calls in turn: one for each cell."""
    each = zip(calls, weights, strict=True)

    def run(
        cell: Cell,
        input: Tensor,
        state: State | None,
        batch_sizes: tuple[int, ...] | None,
        reverse: bool,
    ) -> tuple[Tensor, State]:
        call, of_cell = next(each)
        initial = call.zeros if state is None else parts(state)
        return apply_call(call, [input, *of_cell, *initial], None)

    return run
