"""Read a sequence in chunks: restart the state inside it, or save memory in the backward pass.

Both functions here take an ``Unroll``, such as the reference loop or a fast backend, and return one
that calls it for one chunk of time steps after the other.
"""

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils.checkpoint import checkpoint

from scratch_cells.backends.custom_operator import check_length_is_kept
from scratch_cells.cell import Cell, map_state, parts, whole
from scratch_cells.parameters import parameters_of, replaced
from scratch_cells.recording import is_exported, warn_if_traced
from scratch_cells.unroll import Unroll
from shared_interface import State


def restarting(unroll: Unroll, reset: Tensor) -> Unroll:
    """An ``Unroll`` that restarts the state of some sequences at some time steps.

    The results equal those of separate calls for the parts between the restarts.

    Args:
        unroll: reads each chunk.
        reset: (T, B) bool: whether a new sequence begins at step t of column b. Its state is zeros
            before step t and, in the reverse direction, the state of the sequence before it is
            zeros before step t - 1.
    """
    warn_if_traced("a sequence with reset")
    check_length_is_kept("a sequence with reset", reset)
    rows = reset.any(dim=1).tolist() if _values_are_known(reset) else [True] * reset.size(0)
    starts = [t for t, any_restart in enumerate(rows) if any_restart and t > 0]

    def run(
        cell: Cell,
        input: Tensor,
        state: State,
        batch_sizes: tuple[int, ...] | None,
        reverse: bool,
    ) -> tuple[Tensor, State]:
        bounds = list(zip([0, *starts], [*starts, len(input)], strict=True))
        outputs = []
        for first, end in reversed(bounds) if reverse else bounds:
            # The restarts before the chunk is read: at its first step or, in reverse, after it.
            at = end if reverse else first
            if at < len(input) and rows[at]:
                restart = reset[at].unsqueeze(1)  # (B, 1)
                state = map_state(lambda part, restart=restart: part.masked_fill(restart, 0), state)
            output, state = unroll(cell, input[first:end], state, None, reverse)
            outputs.append(output)
        return torch.cat(outputs[::-1] if reverse else outputs), state

    return run


def _values_are_known(reset: Tensor) -> bool:
    """Whether its values are in memory, and those of later calls with the same program."""
    transformed = torch._C._functorch.is_functorch_wrapped_tensor(reset)
    return not (is_exported() or transformed or reset.is_meta or isinstance(reset, FakeTensor))


def recomputing(unroll: Unroll, every: int) -> Unroll:
    """An ``Unroll`` that keeps only every k-th state, and recomputes the rest in the backward pass.

    Memory for the backward pass is that of ``every`` time steps and one state a chunk, instead of
    that of all time steps. The forward pass is computed twice. Results and gradients are the same.

    Args:
        unroll: reads each chunk.
        every: number of time steps of a chunk.

    Source: A. Gruslys et al., Memory-Efficient Backpropagation Through Time (2016),
    arXiv:1606.03401, with chunks of equal length.
    """

    def run(
        cell: Cell,
        input: Tensor,
        state: State,
        batch_sizes: tuple[int, ...] | None,
        reverse: bool,
    ) -> tuple[Tensor, State]:
        if batch_sizes is not None or not torch.is_grad_enabled() or _checkpoint_fails():
            return unroll(cell, input, state, batch_sizes, reverse)

        weights = parameters_of(cell)

        def read(chunk: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            with replaced(weights):  # in the backward pass, too, the weights of this call
                output, final = unroll(cell, chunk, whole(state), None, reverse)
            return output, *parts(final)

        chunks, outputs = input.split(every), []
        for chunk in reversed(chunks) if reverse else chunks:
            output, *final = checkpoint(read, chunk, *parts(state), use_reentrant=False)
            state = whole(final)
            outputs.append(output)
        return torch.cat(outputs[::-1] if reverse else outputs), state

    return run


def _checkpoint_fails() -> bool:
    """Whether a program is recorded, or transformed by ``torch.func``."""
    return is_exported() or torch._C._are_functorch_transforms_active()
