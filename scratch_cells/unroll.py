"""One cell along a sequence.

The plain loop, and the truth: whatever is faster must equal it.

A sequence is (T, B, I), or packed: (ΣT, I) with ``batch_sizes``, the number of sequences that have
a step 0, a step 1, ... They are sorted by length, so it is always the first rows that are running.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from scratch_cells.cell import Cell, hidden, map_state
from shared_interface import State


class Unroll(Protocol):
    """A function that runs a cell over a sequence: :func:`unroll`, or one with the same result."""

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
    """Run ``cell`` along a sequence.

    Args:
        cell: any cell.
        input: (T, B, I), or (ΣT, I) for packed sequences.
        state: the state before the first step, (B, size) each part.
        batch_sizes: for packed sequences, the number of rows at each step.
        reverse: walk from each sequence's last step to its first. The outputs stay in reading
            order: output t is the hidden state after step t.

    Returns:
        The hidden state at every step, (T, B, size) or (ΣT, size), and the state after each
        sequence's last step of the walk, (B, size) each part.
    """
    outputs, final = [], state
    for _, updated, final in iterate_steps(cell, input, state, batch_sizes, reverse):  # noqa: B007
        outputs.append(hidden(updated))
    return join_steps(outputs, batch_sizes, reverse), final


def iterate_steps(
    cell: Cell,
    input: Tensor,
    state: State,
    batch_sizes: tuple[int, ...] | None,
    reverse: bool,
) -> Iterator[tuple[Any, State, State]]:
    """Take step after step; yield each one's gates, new states, and the state of all sequences.

    Packed sequences of unequal length run only where they have a step. The others' rows stay as
    they are: walking forward these are the finished ones, which so keep their final state; in
    reverse the ones that have not begun, which so keep their initial state.
    """
    projected = cell.project(input)  # W_ih x + b_ih for all steps at once
    steps = projected.unbind(0) if batch_sizes is None else projected.split(batch_sizes)
    for step in reversed(steps) if reverse else steps:
        running = first_rows(state, step.size(0))
        gates = cell.gates(step, running)
        updated = cell.update(gates, running)
        state = replace_first_rows(state, updated)
        yield gates, updated, state


def join_steps(steps: list[Tensor], batch_sizes: tuple[int, ...] | None, reverse: bool) -> Tensor:
    """One tensor per step, in the order of the walk -> the whole sequence, in reading order."""
    steps = steps[::-1] if reverse else steps
    return torch.stack(steps) if batch_sizes is None else torch.cat(steps)


def first_rows(state: State, rows: int) -> State:
    """The state of the first ``rows`` sequences."""
    return map_state(lambda part: part if part.size(0) == rows else part[:rows], state)


def replace_first_rows(state: State, updated: State) -> State:
    """``state`` with the rows of ``updated`` in place of as many of its first."""
    return map_state(
        lambda old, new: (
            new if old.size(0) == new.size(0) else torch.cat([new, old[new.size(0) :]])
        ),
        state,
        updated,
    )
