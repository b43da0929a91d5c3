"""One or more layers of a cell, in one direction or both.

``layers.py`` has RNN, GRU and LSTM, and ``layer_of`` for other cells.
"""

import dataclasses
from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from scratch_cells.backends import BACKENDS, Selection, call_of, run_cell, select_backend
from scratch_cells.backends.c_call import SequenceCall
from scratch_cells.backends.eligibility import autocast_is_on
from scratch_cells.backends.repeated_calls import KeptCalls, methods_of
from scratch_cells.cell import Cell, parts, whole
from scratch_cells.chunks import recomputing, restarting
from scratch_cells.linears import dtype_of, resident_weight, submodule
from scratch_cells.parameters import replaced
from scratch_cells.sequence import Packed, Sequence, time_major
from scratch_cells.stacked_cells import StackedCells
from scratch_cells.unroll import Unroll
from scratch_cells.validation import (
    check_backend,
    check_checkpoint_every,
    check_devices,
    check_input,
    check_layer_arguments,
    check_reset,
    check_state,
    check_state_dim,
    check_state_dtype,
    check_state_parts,
    check_time,
)
from shared_interface import RecurrentLayer, State

FROM_SLOWEST = ("plain", "bptt", "c", "triton")
"""The backends, the slowest first."""


class RecurrentStack(StackedCells, RecurrentLayer):
    """``num_layers`` layers of ``cell_class``, each in one direction or both.

    Layer 0 reads the input. Every later layer reads the outputs of the layer before it, with both
    directions concatenated. Dropout is applied to the outputs of every layer except the last, once
    for the whole sequence, and never inside the recurrence.

    Args:
        input_size: number of features of the input at one time step.
        hidden_size: number of units of each layer and direction.
        num_layers: number of stacked layers.
        bias: whether the cells have biases.
        batch_first: input and output are (batch, time, features) instead of (time, batch,
            features). The layout of the states does not change.
        dropout: probability that an element is set to zero between layers, in training mode.
        bidirectional: whether every layer also reads the sequence in reverse.
        proj_size: LSTM only: size of the projected hidden state; 0 disables the projection.
        device, dtype: device and dtype of the parameters.
        backend: what runs the loop over time. By default, ``"auto"``, a fast implementation runs
            wherever it is exact, usually compiled C on a CPU; with ``"plain"`` the reference loop
            runs, so that a breakpoint in ``lstm.py`` is hit. Also ``"bptt"`` (a few tensor
            operations a step and a hand-written gradient), ``"c"`` and ``"triton"`` (one GPU
            kernel); where one of these does not apply, the reference loop runs.
            ``backend_for`` reports which one runs, and why.
        checkpoint_every: if given, training keeps the state of every ``checkpoint_every``-th time
            step only, and computes the other values again in the backward pass: less memory for
            more time. It has no effect on packed sequences, nor under ``torch.export``,
            ``torch.jit.trace`` and the transforms of ``torch.func``.
        cell_options: further arguments of ``cell_class``.

    Raises:
        TypeError, ValueError: an argument is invalid; the message is torch.nn's.
        RuntimeError, ValueError: at the call, input or state has a wrong shape or dtype.
    """

    cell_class: ClassVar[type[Cell]]

    original_methods: ClassVar[tuple[Any, ...]]
    """The methods that a repeated call leaves out, unless a class has others."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        backend: str = "auto",
        checkpoint_every: int | None = None,
        **cell_options: Any,
    ) -> None:
        super().__init__()
        check_backend(backend, BACKENDS)
        check_checkpoint_every(checkpoint_every)
        self._kept_calls = KeptCalls()
        self.backend = backend
        self.checkpoint_every = checkpoint_every
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        check_layer_arguments(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size
        )
        directions = 2 if bidirectional else 1
        output_size = directions * (proj_size or hidden_size)
        # Layer by layer, forward before reverse: the order of torch.nn's weights and states.
        self.cells = nn.ModuleList(
            self.make_cell(
                input_size if layer == 0 else output_size,
                device=device,
                dtype=dtype,
                **cell_options,
            )
            for layer in range(num_layers)
            for _ in range(directions)
        )
        self.register_torch_names()

    def make_cell(self, input_size: int, **options: Any) -> Cell:
        """Create the cell of one layer and direction."""
        return self.cell_class(input_size, self.hidden_size, self.bias, **options)

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: State | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, State]:
        """Read a sequence: see ``RecurrentLayer.forward``.

        Args:
            input, hx: as there.
            reset: where a new sequence begins inside the input, bool, with the shape of ``input``
                without its last dimension. There the state is zeros again, in all layers and both
                directions, as if the parts were read by separate calls.
        """
        if self.checkpoint_every is None and reset is None:
            return self._run_or_repeat(input, hx)
        unroll: Unroll | None = None
        if self.checkpoint_every is not None:
            unroll = recomputing(self._run_cell, self.checkpoint_every)
        if reset is not None:
            sequence = time_major(type(self).__name__, input, self.batch_first)
            check_reset(reset, input)
            unroll = restarting(
                unroll or self._run_cell, sequence.take_mask(reset).to(sequence.data.device)
            )
        return self.run(input, hx, unroll)

    def _run_or_repeat(
        self, input: Tensor | PackedSequence, hx: State | None
    ) -> tuple[Tensor | PackedSequence, State]:
        """Read a sequence; if it is a call that was made before, without new decisions."""
        repeat = self._kept_calls.find(self, input, hx)
        if repeat is None:
            returned = self.run(input, hx, None)
            self._kept_calls.keep(self, input, hx)
            return returned
        transposes = self.batch_first and not _is_same_in_both_layouts(input)
        sequence = time_major(type(self).__name__, input, transposes)
        state = None if hx is None else whole([sequence.take_state(part) for part in parts(hx)])
        return self._run_cells(sequence, state, repeat)

    def calls_of_cells(self, input: Tensor, hx: State | None) -> list[SequenceCall] | None:
        """The call of C for each cell in a call of the layer, or None if a cell has none."""
        sequence = time_major(type(self).__name__, input, self.batch_first)
        given = self.given_state(sequence, input, hx)
        state = None if given is None else self.initial_state(sequence, given)
        calls = []
        batch_first = self.batch_first and _is_same_in_both_layouts(input)
        data, directions = sequence.data, 2 if self.bidirectional else 1
        for index, cell in enumerate(cells := self._each_cell()):
            if index == directions:  # the outputs of the layer before
                data = data.new_empty(*data.shape[:-1], directions * cells[0].output_size)
            part = None if state is None else _state_of_cell(state, index)
            reverse = self.bidirectional and index % 2 == 1
            call = call_of(cell, data, part, self.backend, reverse, len(cells) == 1, batch_first)
            if call is None:
                return None
            calls.append(call)
        return calls

    def backend_for(self, input: Tensor | PackedSequence, state: State | None = None) -> Selection:
        """Which backend would run ``layer(input, state)``, without running it.

        Returns:
            A selection with ``name`` and ``reason``; ``str()`` gives both. If the cells of the
            layer differ, it is that of the first cell with the slowest of their backends, and the
            reason begins with the cell's path, such as ``cells.1``.

        Raises:
            RuntimeError, ValueError: as the call would.
        """
        with self.computing_with_own_values():
            return self._backend_for(input, state)

    def _backend_for(self, input: Tensor | PackedSequence, state: State | None) -> Selection:
        sequence = time_major(type(self).__name__, input, self.batch_first)
        initial = self.initial_state(sequence, self.given_state(sequence, input, state))
        directions = 2 if self.bidirectional else 1
        data = sequence.data
        selections = []
        for index, cell in enumerate(self.cells):
            assert isinstance(cell, Cell)
            if index == directions:  # the other layers read outputs, of another size than x
                data = data[..., :1].expand(*data.shape[:-1], cell.input_size)
            part = _state_of_cell(initial, index)
            selections.append(select_backend(cell, data, part, sequence.batch_sizes, self.backend))
        names = [selection.name for selection in selections]
        slowest = min(names, key=FROM_SLOWEST.index)
        index = names.index(slowest)
        if len(set(names)) == 1:
            return selections[index]
        return dataclasses.replace(
            selections[index], reason=f"cells.{index}: {selections[index].reason}"
        )

    def _run_cell(
        self,
        cell: Cell,
        input: Tensor,
        state: State | None,
        batch_sizes: tuple[int, ...] | None,
        reverse: bool,
    ) -> tuple[Tensor, State]:
        return run_cell(cell, input, state, batch_sizes, self.backend, reverse)

    def run(
        self, input: Tensor | PackedSequence, hx: State | None, unroll: Unroll | None = None
    ) -> tuple[Tensor | PackedSequence, State]:
        """Read a sequence; ``unroll`` runs each cell over it, by default with ``backend``."""
        if self.share_weights():
            return self._run(input, hx, unroll)
        with replaced(self._own_values()):
            return self._run(input, hx, unroll)

    def _run(
        self, input: Tensor | PackedSequence, hx: State | None, unroll: Unroll | None
    ) -> tuple[Tensor | PackedSequence, State]:
        sequence = time_major(type(self).__name__, input, self.batch_first)
        given = self.given_state(sequence, input, hx)
        # A backend can do without a tensor of zeros.
        zeros = given is None and unroll is None and not autocast_is_on(sequence.data)
        state = None if zeros else self.initial_state(sequence, given)
        if unroll is None:
            unroll = partial(run_cell, backend=self.backend, alone=len(self.cells) == 1)
        return self._run_cells(sequence, state, unroll)

    def _run_cells(
        self, sequence: Sequence, state: State | None, unroll: Unroll
    ) -> tuple[Tensor | PackedSequence, State]:
        """Run each cell over the sequence, or over the outputs of the layer before, by ``unroll``.

        Args:
            state: the initial state, (L*D, B, size) each part; None for zeros.
        """
        data, batch_sizes = sequence.data, sequence.batch_sizes
        bidirectional, dropout = self.bidirectional, self.dropout
        cells = self._each_cell()
        finals, outputs = [], []
        for index, cell in enumerate(cells):
            reverse = bidirectional and index % 2 == 1
            part: Any = None if state is None else _state_of_cell(state, index)
            output, final = unroll(cell, data, part, batch_sizes, reverse=reverse)
            finals.append(final)
            if bidirectional:
                outputs.append(output)
                if not reverse:
                    continue
                output, outputs = torch.cat(outputs, dim=-1), []
            data = output
            if dropout and index < len(cells) - 1:
                data = F.dropout(data, dropout, self.training)
        return sequence.restore(data), self._final_state(sequence, finals)

    def _final_state(self, sequence: Sequence, finals: list[Any]) -> State:
        """The final states of all cells as one, (L*D, B, size) each part, for the user."""
        if isinstance(finals[0], Tensor):
            return sequence.give_state(_stacked(finals))
        return tuple([sequence.give_state(_stacked(part)) for part in zip(*finals, strict=True)])

    def given_state(
        self, sequence: Sequence, input: Tensor | PackedSequence, hx: State | None
    ) -> tuple[Tensor, ...] | None:
        """Validate the arguments of a call, and return the parts of ``hx`` if it is given."""
        cells = self._each_cell()
        first: Any = cells[0]
        data = sequence.data
        packed = sequence.batch_sizes is not None
        given = None
        if hx is not None:
            given = check_state_parts(type(self).__name__.lower(), hx, len(first.state_names))
            if not packed:
                check_state_dim(input, given)  # type: ignore[arg-type]  # not packed: a Tensor
        dtype = dtype_of(submodule(first, "input_to_hidden"))
        check_input(data, 2 if packed else 3, self.input_size, dtype)
        if given is not None:
            sizes = [(len(cells), sequence.batch, size) for size in first.state_sizes]
            check_state(tuple(map(sequence.take_state, given)), sizes)
        weight = resident_weight(submodule(first, "hidden_to_hidden"))
        check_devices(data, given or (), () if weight is None else (weight,))
        check_time(data.shape[0])
        if given is not None:
            check_state_dtype(given, data)
        return given

    def initial_state(self, sequence: Sequence, given: tuple[Tensor, ...] | None) -> State:
        """The initial state, (L*D, B, size) each part: the parts of ``given_state``, or zeros."""
        data = sequence.data
        dtype = self.autocast_dtype(
            data if given is None else given[0], isinstance(sequence, Packed)
        )
        if given is None:
            first = self._each_cell()[0]
            assert isinstance(first, Cell)
            shapes = [(len(self.cells), sequence.batch, size) for size in first.state_sizes]
            return whole([data.new_zeros(shape, dtype=dtype) for shape in shapes])
        state = [sequence.take_state(part) for part in given]
        return whole(state if dtype is None else [part.to(dtype) for part in state])

    def autocast_dtype(self, state: Tensor, packed: bool) -> torch.dtype | None:
        """The dtype to which torch.nn converts the initial state under autocast, else None.

        On CUDA, cuDNN runs the whole layer in the autocast dtype. On the CPU the state keeps its
        dtype, and type promotion determines the dtype of the outputs.

        Args:
            state: a tensor with the device and dtype of the state.
            packed: whether the input is packed.
        """
        if state.is_cuda and autocast_is_on(state):
            return torch.get_autocast_dtype("cuda")
        return None

    def flatten_parameters(self) -> None:
        """Do nothing; kept for compatibility with torch.nn.

        torch.nn makes its weights contiguous for cuDNN here. These layers do not use cuDNN.
        """

    def extra_repr(self) -> str:
        options = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        given = {name: getattr(self, name) for name in options}
        changed = [f"{name}={given[name]}" for name in options if given[name] != options[name]]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *changed])


RecurrentStack.original_methods = methods_of(RecurrentStack)


def _is_same_in_both_layouts(input: Tensor | PackedSequence) -> bool:
    """Whether (B, T, I) and (T, B, I) have their elements in the same order."""
    return isinstance(input, Tensor) and input.dim() == 3 and 1 in input.shape[:2]


def _stacked(parts: Any) -> Tensor:
    """The final states of the cells, (L*D, B, size); that of a single cell may be (1, B, size)."""
    return parts[0] if parts[0].dim() == 3 else torch.stack(parts)


def _state_of_cell(state: Any, index: int) -> Any:
    """The part of one cell of a state, (L*D, B, size) -> (B, size) each part."""
    return tuple(part[index] for part in state) if isinstance(state, tuple) else state[index]
