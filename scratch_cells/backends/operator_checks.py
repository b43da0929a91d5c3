"""The shapes of what the operators of ``custom_operator.py`` take and return, and their checks."""

from collections.abc import Sequence

from torch import Tensor

from scratch_cells.backends import torch_backend
from scratch_cells.backends.eligibility import (
    LAYOUTS,
    Operands,
    forward_ad_problem,
    is_plain_cpu_tensor,
    operand_problem,
)


def check_operands(name: str, kind: str, operands: Operands) -> None:
    """Check what a kernel reads, at every call: any program can call a registered operator.

    Raises:
        RuntimeError: an operand does not fit, or forward-mode differentiation is active.
    """
    problem = operand_problem(kind, operands) or forward_ad_problem()
    if LAYOUTS[kind].has_projection:
        problem = "there is no operator for an LSTM with a projection"
    input = operands[0]
    if problem is None and input is not None and input.dtype not in torch_backend.DTYPES:
        problem = f"the operator is for float32 and float64, and the input is {input.dtype}"
    if problem is not None:
        raise RuntimeError(f"recurrent_by_hand::{name}: {problem}")


def check_buffers(
    what: str, given: Sequence[Tensor | None], shapes: list[tuple[int, ...]], like: Tensor
) -> None:
    """Check that there is one plain tensor for each shape, with the dtype and device of ``like``.

    Raises:
        RuntimeError: there is not.
    """
    if len(given) == len(shapes) and all(
        each is None or is_plain_cpu_tensor(each, shape, like.dtype)
        for each, shape in zip(given, shapes, strict=True)
    ):
        return
    found = [None if each is None else tuple(each.shape) for each in given]
    raise RuntimeError(
        f"recurrent_by_hand::sequence_gradient: {what} has shapes {found}: expected {shapes}, "
        f"plain tensors of {like.dtype} on {like.device}"
    )


def check_one_device(tensors: list[Tensor]) -> None:
    """Check the devices of a fake call: torch also makes one if a single tensor is on ``meta``.

    Raises:
        RuntimeError: the tensors are on several devices.
    """
    devices = {str(each.device) for each in tensors}
    if len(devices) > 1:
        raise RuntimeError(
            "recurrent_by_hand: expected all tensors to be on the same device, but found "
            f"{' and '.join(sorted(devices))}"
        )


def returned_shapes(kind: str, input: Tensor, w_hh: Tensor) -> list[tuple[int, ...]]:
    """Shapes of the outputs and of the parts of the final state."""
    time, batch, size = input.size(0), input.size(1), w_hh.size(1)
    return [(time, batch, size), *[(batch, size)] * (1 + LAYOUTS[kind].has_cell_state)]


def saved_shapes(kind: str, input: Tensor, w_hh: Tensor) -> list[tuple[int, ...]]:
    """Shapes of ``SequenceBuffers.saved``."""
    layout = LAYOUTS[kind]
    time, batch, size = input.size(0), input.size(1), w_hh.size(1)
    shapes: list[tuple[int, ...]] = [(time + 1, batch, size)] * (1 + layout.has_cell_state)
    shapes += [] if layout.gates_are_states else [(time, batch, layout.gate_count * size)]
    return shapes + ([(time, batch, size)] if layout.saves_extra else [])
