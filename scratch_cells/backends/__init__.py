"""Backends: faster implementations of the reference loop in ``unroll``.

``select_backend`` decides for every call which backend runs it. README.md describes the rules.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from scratch_cells.backends import c_cells, torch_backend, triton_backend
from scratch_cells.backends.autocast_cache import apply_autocast, for_graph_and_kernel
from scratch_cells.backends.bptt import apply_bptt
from scratch_cells.backends.c_backend import c_is_slower, c_problem
from scratch_cells.backends.c_call import MAX_ELEMENTS, SequenceCall, apply_call, is_one_call
from scratch_cells.backends.cell_kernel import CellKernel
from scratch_cells.backends.custom_operator import (
    apply_operator,
    check_length_is_kept,
    operator_problem,
)
from scratch_cells.backends.eligibility import (
    LAYOUTS,
    Operands,
    autocast_is_on,
    batch_sizes_problem,
    cell_problem,
    context_problem,
    kind_of,
    operand_problem,
    operands_of,
)
from scratch_cells.backends.modifications import CELL_CLASSES, modification
from scratch_cells.backends.precision import HALF
from scratch_cells.backends.triton_backend import triton_problem
from scratch_cells.cell import Cell, parts
from scratch_cells.recording import is_recorded, warn_if_traced
from scratch_cells.unroll import unroll, zero_state
from scratch_cells.validation import check_backend, check_devices
from shared_interface import State

KERNELS: dict[tuple[str, str], type[CellKernel]] = {
    (name, kind): kernel
    for name, kernels in (
        ("bptt", torch_backend.KERNELS),
        ("c", c_cells.KERNELS),
        ("triton", triton_backend.KERNELS),
    )
    for kind, kernel in kernels.items()
}
"""(backend, kind of cell) -> the kernel."""

CANDIDATES = {
    "auto": ("c", "bptt"),  # on a GPU also "triton", see TRITON_IS_FASTER
    "plain": (),
    "bptt": ("bptt",),
    "c": ("c",),
    "triton": ("triton",),
}
"""What the user asks for -> the backends that are tried, in this order, before the plain loop."""

TRITON_IS_FASTER: dict[tuple[str, torch.dtype], int] = {}
"""(kind of cell, dtype) -> the largest hidden size for which "auto" selects "triton" on a GPU.

Empty until the kernels are measured: docs/gpu.md."""

BACKENDS = tuple(CANDIDATES)
"""The values of the argument ``backend``."""

OPERATOR_BACKENDS = ("auto", "bptt", "c")
"""Those whose kernels run inside the operator while ``torch.compile`` records."""

REQUESTED = "requested"
FASTEST = "the fastest backend available"


@dataclass(frozen=True)
class Selection:
    """The backend that runs a call, and why.

    Attributes:
        name: ``"plain"``, ``"bptt"``, ``"c"`` or ``"triton"``.
        reason: why it was selected, for the user.
        run: runs the call with it. Its argument is ``reverse``; it returns what
            ``unroll`` returns.
    """

    name: str
    reason: str
    run: Callable[[bool], tuple[Tensor, State]] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def select_backend(
    cell: Cell,
    input: Tensor,
    state: State,
    batch_sizes: tuple[int, ...] | None = None,
    backend: str = "auto",
) -> Selection:
    """Decide which backend runs one cell over one sequence.

    Args:
        cell, input, state, batch_sizes: see ``unroll``.
        backend: one of BACKENDS. A backend that is named runs if it is available and exact for
            this call; otherwise the reference loop runs. ``"auto"`` selects the fastest one.

    Raises:
        ValueError: ``backend`` is not one of BACKENDS.
    """
    check_backend(backend, BACKENDS)
    if is_recorded() and batch_sizes is None and backend in OPERATOR_BACKENDS:
        problem = operator_problem(cell, input)
        if problem is None:
            run = partial(apply_operator, cell, input, state, backend)
            return Selection("operator", "torch records the operations", run)
    name, reason, kind, operands, autocast = _decide(
        cell, input, state, batch_sizes, backend, context_problem()
    )
    run = partial(_run, name, kind, operands, autocast, cell, input, state, batch_sizes)
    return Selection(name, reason, run)


def run_cell(
    cell: Cell,
    input: Tensor,
    state: State | None,
    batch_sizes: tuple[int, ...] | None,
    backend: str,
    reverse: bool,
    alone: bool = False,
) -> tuple[Tensor, State]:
    """Run one cell over one sequence with the backend that ``select_backend`` selects.

    Args:
        state: the initial state; zeros if None.
        alone: whether the parts of the final state may have the shape (1, B, size), that of a
            layer with no other cell.
        cell, input, batch_sizes, backend, reverse: see ``select_backend`` and ``unroll``.

    Returns:
        What ``unroll`` returns.
    """
    context = context_problem()  # also whether torch records the operations
    if context is not None or backend not in CANDIDATES:
        state = zero_state(cell, input, batch_sizes) if state is None else state
        return select_backend(cell, input, state, batch_sizes, backend).run(reverse)
    name, _, kind, operands, autocast = _decide(cell, input, state, batch_sizes, backend, context)
    return _run(name, kind, operands, autocast, cell, input, state, batch_sizes, reverse, alone)


def call_of(
    cell: Cell,
    input: Tensor,
    state: State | None,
    backend: str,
    reverse: bool,
    alone: bool,
    batch_first: bool,
) -> SequenceCall | None:
    """The call of C by which ``run_cell`` runs a cell; None if it is not one, or a long one.

    Args:
        cell, input, state, backend, reverse, alone: see ``run_cell``. Autocast is off.
        batch_first: see ``SequenceCall``.
    """
    name, _, kind, operands, _ = _decide(cell, input, state, None, backend, context_problem())
    if name != "c" or not is_one_call(KERNELS["c", kind], operands, input.dtype):
        return None
    if batch_first:
        operands[0] = input.transpose(0, 1)
    call = SequenceCall(kind, KERNELS["c", kind], operands, reverse, alone, batch_first)
    return call if call.gate_elements <= MAX_ELEMENTS else None


def _run(
    name: str,
    kind: str,
    operands: Operands,
    autocast: torch.dtype | None,
    cell: Cell,
    input: Tensor,
    state: State | None,
    batch_sizes: tuple[int, ...] | None,
    reverse: bool,
    alone: bool = False,
) -> tuple[Tensor, State]:
    """Run a backend that was selected, by its name."""
    kernel = KERNELS.get((name, kind))
    cast = None
    if kernel is not None and autocast is not None:
        if state is None:  # zeros of the dtype of x
            state = zero_state(cell, input, batch_sizes)
            operands[5 : 5 + len(parts(state))] = parts(state)
        cast = apply_autocast(kernel.layout, operands, autocast)
    if kernel is None or (autocast is not None and cast is None):
        state = zero_state(cell, input, batch_sizes) if state is None else state
        return _run_loop(cell, input, state, batch_sizes, reverse)
    if (
        name == "c"
        and batch_sizes is None
        and is_one_call(kernel, operands, autocast or input.dtype)
    ):
        _, values = for_graph_and_kernel(operands, cast)
        return apply_call(SequenceCall(kind, kernel, values, reverse, alone), operands, cast)
    if state is None:
        state = zero_state(cell, input, batch_sizes)
        operands[5 : 5 + len(parts(state))] = parts(state)
    return apply_bptt(kind, kernel, operands, batch_sizes, cast, reverse)


def _run_loop(
    cell: Cell, input: Tensor, state: State, batch_sizes: tuple[int, ...] | None, reverse: bool
) -> tuple[Tensor, State]:
    """The reference loop."""
    what = f"{type(cell).__name__} by the reference loop"
    warn_if_traced(what)
    check_length_is_kept(what, input)
    check_cell_devices(cell, input, state)
    return unroll(cell, input, state, batch_sizes, reverse)


def check_cell_devices(cell: Cell, input: Tensor, state: State) -> None:
    """Check that all tensors of a call are on one device, unless something may move them.

    Raises:
        RuntimeError: they are on several devices; the message is torch.nn's.
    """
    if not context_problem() and type(cell) in CELL_CLASSES and not modification(cell):
        check_devices(input, parts(state), cell.parameters())


def _decide(
    cell: Cell,
    input: Tensor,
    state: State | None,
    batch_sizes: tuple[int, ...] | None,
    backend: str,
    context: str | None,
) -> tuple[str, str, str, Operands, torch.dtype | None]:
    """Decide which backend runs a call.

    Args:
        cell, input, state, batch_sizes, backend: see ``select_backend``.
        context: what ``context_problem`` returns.

    Returns:
        Its name and the reason; and for its kernel the kind of cell, the operands and autocast's
        dtype.
    """
    if backend == "plain":
        return "plain", REQUESTED, "", [], None
    kind = kind_of(cell)
    problem = context or cell_problem(cell, kind)
    if problem is None and batch_sizes is not None:
        problem = batch_sizes_problem(batch_sizes)
    if kind is None or problem is not None:
        return "plain", str(problem), "", [], None
    operands = operands_of(cell, input, state)
    autocast = None
    if autocast_is_on(input):
        autocast = torch.get_autocast_dtype(input.device.type)
        if backend == "triton":
            operands, autocast = _cast(operands, autocast), None
    problem = operand_problem(kind, operands, batch_sizes, autocast)
    if problem is not None:
        return "plain", problem, kind, [], None
    problems: list[str] = []
    for candidate in _candidates(backend, kind, operands):
        problem = _backend_problem(
            candidate, kind, operands, batch_sizes, autocast, fastest=backend == "auto"
        )
        if problem is None:
            default = FASTEST if backend == "auto" else REQUESTED
            return candidate, "; ".join(problems) or default, kind, operands, autocast
        problems.append(problem)
    return "plain", problems[-1], kind, [], None


def _candidates(backend: str, kind: str, operands: Operands) -> tuple[str, ...]:
    """The backends to try, in this order."""
    input, _, w_hh, *_ = operands
    assert input is not None
    assert w_hh is not None
    if backend != "auto" or not TRITON_IS_FASTER or not input.is_cuda:
        return CANDIDATES[backend]
    largest = TRITON_IS_FASTER.get((kind, input.dtype), 0)
    first = ("triton",) if w_hh.size(1) <= largest else ()
    return first + CANDIDATES[backend]


def _cast(operands: Operands, dtype: torch.dtype) -> Operands:
    """x and the weights in autocast's dtype. The state is in the dtype that the layer chose."""
    cast = [t.to(dtype) if t is not None and t.dtype == torch.float32 else t for t in operands[:5]]
    return cast + operands[5:]


def _backend_problem(
    name: str,
    kind: str,
    operands: Operands,
    batch_sizes: tuple[int, ...] | None,
    autocast: torch.dtype | None,
    fastest: bool,
) -> str | None:
    """Why a backend cannot run these operands or, if ``fastest``, is not the fastest for them."""
    input, w_ih, w_hh = operands[:3]
    assert input is not None
    assert w_ih is not None
    assert w_hh is not None
    if name == "c":
        dtype = autocast or input.dtype
        if dtype in HALF:
            if LAYOUTS[kind].has_projection:
                return f"the C backend supports a projection in float32 and float64, not in {dtype}"
        elif autocast is not None:
            return f"autocast is on with {autocast}"
        elif fastest:  # with 16 bits the alternative is the reference loop
            rows = input.shape[0]
            time = rows if batch_sizes is None else len(batch_sizes)
            rows = rows if batch_sizes is not None else rows * input.shape[1]
            if c_is_slower(w_ih.numel() + w_hh.numel(), time, rows):
                return "the weights are too large for the C backend to be faster with so few rows"
        return c_problem(input, dtype)
    if name == "triton":
        if autocast is not None:  # "auto" has not cast the operands
            return "autocast is on, where the Triton backend has to be named"
        if LAYOUTS[kind].has_projection:
            return "the Triton backend does not support a projection"
        if batch_sizes is not None:
            return "the Triton backend does not support packed sequences"
        return triton_problem(LAYOUTS[kind], w_hh.size(1), input)
    if autocast is not None:
        return "autocast is on, which only the C backend supports on a CPU"
    if input.dtype not in torch_backend.DTYPES:
        return f"the bptt backend supports float32 and float64, and the input is {input.dtype}"
    return None
