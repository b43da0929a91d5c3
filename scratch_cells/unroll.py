"""Reference implementation: one cell applied to a sequence by a plain Python loop.

This loop defines what a layer computes. Every faster backend must give the same results.

A sequence has shape (T, B, I). Packed sequences have shape (ΣT, I) and ``batch_sizes``: the number
of sequences that have a time step 0, a time step 1, and so on. They are sorted by length, longest
first, so the sequences that are active at a time step are always the first rows.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from scratch_cells.cell import Cell, hidden, map_state, whole
from shared_interface import State

HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
"""The attributes of a module that contain its hooks. A function in its place has none."""


class Unroll(Protocol):
    """A function that runs a cell over a sequence: ``unroll``, or one with the same result."""

    def __call__(
        self,
        cell: Cell,
        input: Tensor,
        state: State,
        batch_sizes: tuple[int, ...] | None,
        reverse: bool,
    ) -> tuple[Tensor, State]: ...


def unroll(
    cell: Cell,
    input: Tensor,
    state: State,
    batch_sizes: tuple[int, ...] | None = None,
    reverse: bool = False,
) -> tuple[Tensor, State]:
    """Apply ``cell`` to every time step of a sequence.

    Args:
        cell: any cell.
        input: (T, B, I), or (ΣT, I) for packed sequences.
        state: the initial state, (B, size) each part.
        batch_sizes: for packed sequences, the number of active sequences at each time step.
        reverse: process each sequence from its last time step to its first. The outputs keep the
            order of the input: output t is the hidden state after the cell has read step t.

    Returns:
        The hidden state after every time step, (T, B, size) or (ΣT, size), and the final state of
        every sequence, (B, size) each part.
    """
    outputs, final = [], state
    for updated, final in iterate_steps(cell, input, state, batch_sizes, reverse):  # noqa: B007  # the last one is returned
        outputs.append(hidden(updated))
    return join_steps(outputs, batch_sizes, reverse), final


def zero_state(cell: Cell, input: Tensor, batch_sizes: tuple[int, ...] | None) -> State:
    """Zeros, as the initial state of a cell for a sequence, (B, size) each part."""
    batch = input.size(1) if batch_sizes is None else batch_sizes[0]
    return whole([input.new_zeros(batch, size) for size in cell.state_sizes])


def iterate_steps(
    cell: Cell,
    input: Tensor,
    state: State,
    batch_sizes: tuple[int, ...] | None,
    reverse: bool,
    step: Callable[[Tensor, Any], Any] | None = None,
) -> Iterator[tuple[State, State]]:
    """Apply the cell step by step; after each time step yield two states.

    Args:
        cell, input, state, batch_sizes, reverse: as in ``unroll``.
        step: used instead of ``cell.step`` if given; ``trace`` passes one that
            also records the gates.

    Yields:
        The new state of the sequences that are active at this time step, and the current state of
        all B sequences. The state of an inactive sequence does not change: in the forward
        direction a finished sequence keeps its final state; in the reverse direction a sequence
        that has not started keeps its initial state.
    """
    step = step or cell.step
    steps = project_steps(cell, input, batch_sizes)
    for projected_step in reversed(steps) if reverse else steps:
        active = first_rows(state, projected_step.size(0))
        updated = step(projected_step, active)
        state = replace_first_rows(state, updated)
        yield updated, state


def project_steps(
    cell: Cell, input: Tensor, batch_sizes: tuple[int, ...] | None
) -> tuple[Tensor, ...]:
    """Compute W_ih x + b_ih for all time steps at once; return one tensor per time step.

    A hook on ``input_to_hidden`` receives (B, T, I), not (T, B, I). Then dim 0 is the batch in
    every call of an ``nn.Linear`` of the cell, as tools for per-sample gradients expect. Without a
    hook, the projection is computed in time-major order, which is faster.
    """
    if batch_sizes is not None:
        return tuple(cell.project(input).split(batch_sizes))
    if input.dim() == 3 and any(getattr(cell.input_to_hidden, hooks, None) for hooks in HOOKS):
        projected = cell.project(input.transpose(0, 1))  # (B, T, G*H)
        return tuple(projected.unbind(1))
    return tuple(cell.project(input).unbind(0))


def join_steps(steps: list[Tensor], batch_sizes: tuple[int, ...] | None, reverse: bool) -> Tensor:
    """Join one tensor per time step, in the order computed, to a sequence in input order."""
    steps = steps[::-1] if reverse else steps
    return torch.stack(steps) if batch_sizes is None else torch.cat(steps)


def first_rows(state: State, rows: int) -> State:
    """Return the state of the first ``rows`` sequences."""
    return map_state(lambda part: part if part.size(0) == rows else part[:rows], state)


def replace_first_rows(state: State, updated: State) -> State:
    """Return ``state`` with its first rows replaced by the rows of ``updated``."""
    return map_state(
        lambda old, new: (
            new if old.size(0) == new.size(0) else torch.cat([new, old[new.size(0) :]])
        ),
        state,
        updated,
    )
