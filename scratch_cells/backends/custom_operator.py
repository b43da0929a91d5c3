"""A cell over a sequence as one operator, for ``torch.compile`` and ``torch.export``.

A compiler that records the reference loop repeats the body of the loop once for each time step: it
takes minutes for a long sequence, and the result is right for one length only. A recorded operator
has the same size for every length. It runs the kernels of the CPU backends, forward and backward.

    sequence            x, weights, state -> outputs, final state, and what the gradient needs
    sequence_gradient   gradients of those, and what was saved -> gradients of x, weights, state

Each has a *fake* implementation, which computes shapes alone, with symbols for the sizes.
"""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from scratch_cells.backends import c_cells, torch_backend
from scratch_cells.backends.bptt import NUM_OPTIONS, backward_by_kernel, forward_by_kernel
from scratch_cells.backends.c_backend import c_is_slower, c_problem
from scratch_cells.backends.cell_kernel import CellKernel
from scratch_cells.backends.eligibility import (
    LAYOUTS,
    Operands,
    autocast_is_on,
    cell_problem,
    forward_ad_problem,
    kind_of,
    operands_of,
)
from scratch_cells.backends.onnx_export import is_traced_for_onnx, traced_operator
from scratch_cells.backends.operator_checks import (
    check_buffers,
    check_one_device,
    check_operands,
    returned_shapes,
    saved_shapes,
)
from scratch_cells.backends.sequence_buffers import steps_of_a_block
from scratch_cells.cell import Cell, whole
from shared_interface import State

REVISION = 2
"""Part of every call in a graph. Increase it when the arguments or results of an operator change.

torch keeps compiled code on disk, with the graph of the forward pass as its key. Without this
number, it would run code that was compiled for an earlier version of the operators."""


def operator_problem(cell: Cell, input: Tensor) -> str | None:
    """Why the operator does not compute what the reference loop computes, or None if it does."""
    kind = kind_of(cell)
    if kind is None or LAYOUTS[kind].has_projection:
        return f"there is no operator for {type(cell).__name__}"
    if torch.compiler.is_compiling():
        from scratch_cells.backends.compiler_constants import (
            constant_cell_problem,
            constant_forward_ad_problem,
        )

        problem: str | None = constant_cell_problem(cell, kind)
        problem = problem or constant_forward_ad_problem()
    else:
        problem = cell_problem(cell, kind) or forward_ad_problem()
    if problem is not None:
        return problem
    if input.device.type != "cpu" or input.dtype not in torch_backend.DTYPES:
        return f"the operator is for float32 and float64 on the CPU, not {input.dtype}"
    return "autocast is on" if autocast_is_on(input) else None


def apply_operator(
    cell: Cell, input: Tensor, state: State, backend: str, reverse: bool
) -> tuple[Tensor, State]:
    """Run a cell over a sequence by the operator; return what ``unroll`` returns.

    Args:
        cell, input, state, reverse: see ``unroll``.
        backend: ``"auto"``, ``"c"`` or ``"bptt"``.
    """
    kind = str(kind_of(cell))
    given: list[Any] = operands_of(cell, input, state)  # of Tensors; the biases may be None
    input, w_ih, w_hh, b_ih, b_hh, *initial = given
    # An exported or traced program is for inference: its gradient repeats the forward pass.
    save = (
        torch.compiler.is_compiling()
        and not torch.compiler.is_exporting()
        and torch.is_grad_enabled()
        and any(each is not None and each.requires_grad for each in given)
    )
    if is_traced_for_onnx():
        outputs, *rest = traced_operator(kind, input, w_ih, w_hh, b_ih, b_hh, initial, reverse)
        return outputs, whole(rest)
    if torch.compiler.is_exporting():
        from scratch_cells.backends.compiler_constants import constant_translate_in_onnx_export

        constant_translate_in_onnx_export(sequence._opoverload)
    kernel = f"{kind} {backend} {REVISION}"
    outputs, *rest = sequence(input, w_ih, w_hh, b_ih, b_hh, initial, kernel, reverse, save)
    return outputs, whole(rest[: len(initial)])


def check_length_is_kept(what: str, input: Tensor) -> None:
    """Raise if ``torch.onnx.export`` records a loop, but the number of time steps is to be free.

    ``torch.onnx.export`` writes a file for the length of the example then, without an error.

    Args:
        what: what the loop computes, such as ``GRUCell by the reference loop``.
        input: what the loop reads, (T, ...).

    Raises:
        RuntimeError: it does.
    """
    if not torch.compiler.is_exporting():
        return
    from scratch_cells.backends.compiler_constants import constant_is_exported_to_onnx

    if constant_is_exported_to_onnx() and (
        torch.compiler.is_dynamo_compiling() or isinstance(input.size(0), torch.SymInt)
    ):
        raise RuntimeError(
            f"torch.onnx.export cannot record {what} for a dynamic number of time steps. RNN, GRU "
            'and LSTM accept any length in float32, with backend="auto" and without proj_size, '
            "reset and hooks. Declare the time axis as static to export this length alone"
        )


@torch.library.custom_op("recurrent_by_hand::sequence", mutates_args=())
def sequence(
    input: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    state: list[Tensor],
    kernel: str,
    reverse: bool,
    save: bool,
) -> list[Tensor]:
    """The outputs, the final state and, with ``save``, the buffers that the gradient needs.

    Args:
        input, w_ih, w_hh, b_ih, b_hh, state: the operands.
        kernel: the kind of the cell, the backend and REVISION, such as ``"lstm auto 2"``.
        reverse: see ``unroll``.
        save: whether a backward pass follows.

    Raises:
        RuntimeError: an operand does not have the shape, dtype or device of the others, or
            forward-mode automatic differentiation is active.
    """
    operands: Operands = [input, w_ih, w_hh, b_ih, b_hh, *state]
    kind = kernel.partition(" ")[0]
    check_operands("sequence", kind, operands)
    _, buffers = forward_by_kernel(_kernel_class(kernel, operands), operands, save, reverse)
    results = [buffers.outputs(), *buffers.final_state()]
    return results + buffers.saved(LAYOUTS[kind]) if save else results


@sequence.register_fake
def _(
    input: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    state: list[Tensor],
    kernel: str,
    reverse: bool,
    save: bool,
) -> list[Tensor]:
    kind = kernel.partition(" ")[0]
    check_one_device([each for each in (input, w_ih, w_hh, b_ih, b_hh, *state) if each is not None])
    shapes = returned_shapes(kind, input, w_hh) + (saved_shapes(kind, input, w_hh) if save else [])
    return [input.new_empty(shape) for shape in shapes]


@torch.library.custom_op("recurrent_by_hand::sequence_gradient", mutates_args=())
def sequence_gradient(
    d_returned: list[Tensor | None],
    saved: list[Tensor],
    input: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    state: list[Tensor],
    kernel: str,
    reverse: bool,
    needs_input: bool,
) -> list[Tensor]:
    """The gradients of x, W_ih, W_hh, of a bias each if there is one, and of the initial state.

    Args:
        d_returned: gradients of the outputs and of the parts of the final state; None for zeros.
        saved: what ``sequence`` saved; empty to repeat the forward pass.
        input, w_ih, w_hh, b_ih, b_hh, state, kernel, reverse: as for ``sequence``.
        needs_input: whether the gradient of x is returned; if not, the others are.

    Raises:
        RuntimeError: a tensor does not have the shape, dtype or device of the others.
    """
    operands: Operands = [input, w_ih, w_hh, b_ih, b_hh, *state]
    kind = kernel.partition(" ")[0]
    layout = LAYOUTS[kind]
    check_operands("sequence_gradient", kind, operands)
    check_buffers("d_returned", d_returned, returned_shapes(kind, input, w_hh), input)
    if saved:
        check_buffers("saved", saved, saved_shapes(kind, input, w_hh), input)
    kernel_class = _kernel_class(kernel, operands)
    if not saved:
        _, buffers = forward_by_kernel(kernel_class, operands, True, reverse)
        saved = buffers.saved(layout)
    rest = iter(saved)
    h = next(rest)
    c = next(rest) if layout.has_cell_state else None
    gates = (h[:-1] if reverse else h[1:]) if layout.gates_are_states else next(rest)
    extra = next(rest) if layout.saves_extra else None
    ctx = SimpleNamespace(
        kernel_class=kernel_class,
        batch_sizes=None,
        reverse=reverse,
        steps=steps_of_a_block(kernel_class, len(input), *state[0].shape),
        precision=None,
        dtypes=[None if operand is None else operand.dtype for operand in operands],
        needs_input_grad=[needs_input] * (NUM_OPTIONS + 1) + [True] * (len(operands) - 1),
    )
    everything = (input, w_ih, w_hh, *state, h, c, gates, extra)
    gradients = backward_by_kernel(ctx, everything, tuple(d_returned))
    return [gradient.contiguous() for gradient in gradients if gradient is not None]


@sequence_gradient.register_fake
def _(
    d_returned: list[Tensor | None],
    saved: list[Tensor],
    input: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    state: list[Tensor],
    kernel: str,
    reverse: bool,
    needs_input: bool,
) -> list[Tensor]:
    given = [each for each in (input, w_ih, w_hh, b_ih, b_hh, *state) if each is not None]
    check_one_device([*given, *[each for each in d_returned if each is not None], *saved])
    return [each.new_empty(each.shape) for each in given[0 if needs_input else 1 :]]


def _kernel_class(kernel: str, operands: Operands) -> type[CellKernel]:
    """The kernel that ``select_backend`` would choose for these operands on the CPU."""
    kind, backend, *_ = kernel.split()
    input, w_ih, w_hh, *_ = operands
    assert input is not None
    assert w_ih is not None
    assert w_hh is not None
    if backend == "bptt" or c_problem(input, input.dtype) is not None:
        return torch_backend.KERNELS[kind]
    time, batch, _ = input.shape
    if backend == "auto" and c_is_slower(w_ih.numel() + w_hh.numel(), time, time * batch):
        return torch_backend.KERNELS[kind]
    return c_cells.KERNELS[kind]


def _save_for_gradient(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    input, w_ih, w_hh, b_ih, b_hh, state, ctx.kernel, ctx.reverse, _ = inputs
    ctx.parts = len(state)
    ctx.has_biases = b_ih is not None, b_hh is not None
    ctx.save_for_backward(input, w_ih, w_hh, b_ih, b_hh, *state, *output[1 + len(state) :])


def _gradient(ctx: Any, d_output: list[Tensor | None]) -> tuple[Any, ...]:
    input, w_ih, w_hh, b_ih, b_hh, *rest = ctx.saved_tensors
    state, saved = rest[: ctx.parts], rest[ctx.parts :]
    d_returned = d_output[: 1 + ctx.parts]
    if all(d is None for d in d_returned):
        d_returned = [input.new_zeros(len(input), *state[0].shape), *d_returned[1:]]
    needs = bool(ctx.needs_input_grad[0])
    options = ctx.kernel, ctx.reverse, needs
    gradients = iter(
        sequence_gradient(d_returned, saved, input, w_ih, w_hh, b_ih, b_hh, state, *options)
    )
    of_operands = [
        next(gradients) if is_given else None for is_given in (needs, True, True, *ctx.has_biases)
    ]
    return *of_operands, list(gradients), None, None, None


sequence.register_autograd(_gradient, setup_context=_save_for_gradient)


def _no_second_gradient(ctx: Any, *d_gradients: Any) -> Any:
    raise RuntimeError(
        "recurrent_by_hand::sequence_gradient: the gradient of a compiled, exported or traced "
        "layer cannot be differentiated again; call the layer without torch.compile, torch.export "
        "and torch.jit.trace"
    )


sequence_gradient.register_autograd(_no_second_gradient)
