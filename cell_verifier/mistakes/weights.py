"""Mistakes in which row, bias or side of a weight is read where."""

from collections.abc import Iterator
from itertools import permutations

import torch
from torch import Tensor

from cell_verifier.mistakes.catalogue import Change, WeightChange, mistake
from cell_verifier.reference.equations import Weights
from cell_verifier.reference.kinds import KINDS

BIASES = ("b_ih", "b_hh")


@mistake(
    "gate-order",
    "step",
    kinds=("gru", "lstm"),
    why="the rows of the stacked weights are read in another order than torch.nn keeps them in",
    right="i, f, g, o = a.chunk(4, dim=-1)   (GRU: r, z, n)",
    wrong="i, f, o, g = a.chunk(4, dim=-1)   (or another order)",
    fix="unpack the chunks in torch.nn's order: LSTM i, f, g, o; GRU r, z, n",
)
def gate_order(kind: str) -> Iterator[Change]:
    gates = KINDS[kind].gates
    right = tuple(range(len(gates)))
    for order in permutations(right):
        # Rows read as f, i, g, o are the same function as i and f exchanged in the update: that
        # one function goes by the name of swapped-input-forget.
        if order != right and not (kind == "lstm" and order == (1, 0, 2, 3)):
            read_as = ", ".join(KINDS[kind].letters[gate] for gate in order)
            rows = [order.index(gate) for gate in right]
            yield Change(f"rows are read as {read_as}", _reorder(rows))


def _reorder(rows: list[int]) -> WeightChange:
    def change(w: Weights) -> Weights:
        return Weights(
            w.ih[..., rows, :, :], w.hh[..., rows, :, :], w.b_ih[..., rows, :],
            w.b_hh[..., rows, :], w.peephole,
        )  # fmt: skip

    return change


@mistake(
    "reshape-not-chunk",
    "step",
    kinds=("gru", "lstm"),
    why="a reshape that puts the gates last gives each gate every G-th row instead of a block of H",
    right="a.chunk(4, dim=-1), or a.view(B, 4, H)",
    wrong="a.view(B, H, 4)",
    fix="use a.chunk(G, dim=-1), or a.view(B, G, H).unbind(1)",
)
def reshape_not_chunk(kind: str) -> Iterator[Change]:
    yield Change(
        "every G-th row goes to one gate",
        lambda w: w._replace(
            ih=_interleave(w.ih, -3), hh=_interleave(w.hh, -3),
            b_ih=_interleave(w.b_ih, -2), b_hh=_interleave(w.b_hh, -2),
        ),
    )  # fmt: skip


def _interleave(stacked: Tensor, gate_axis: int) -> Tensor:
    """The rows of (..., G, H, ...) renumbered as if they lay (H, G)."""
    gates, units = stacked.shape[gate_axis], stacked.shape[gate_axis + 1]
    rows = stacked.flatten(gate_axis, gate_axis + 1)
    axis = gate_axis + 1
    cut: Tensor = rows.unflatten(axis, (units, gates))
    return cut.transpose(axis - 1, axis)


@mistake(
    "missing-bias",
    "step",
    why="one of the two biases is never added",
    right="W_ih x + b_ih + W_hh h + b_hh",
    wrong="W_ih x + b_ih + W_hh h",
    fix="add the bias that is left out",
)
def missing_bias(kind: str) -> Iterator[Change]:
    for name in BIASES:
        yield Change(f"{name} is left out", _scale(name, 0.0))


@mistake(
    "double-bias",
    "step",
    why="a bias is added twice",
    right="W_ih x + b_ih + W_hh h + b_hh",
    wrong="(W_ih x + b) + (W_hh h + b)",
    fix="add each bias once",
)
def double_bias(kind: str) -> Iterator[Change]:
    for name in BIASES:
        yield Change(f"{name} counts twice", _scale(name, 2.0))
        other = BIASES[1 - BIASES.index(name)]
        yield Change(f"{name} stands in {other}'s place too", _copy_bias(name, other))
    yield Change("both biases count twice", lambda w: _scale("b_ih", 2.0)(_scale("b_hh", 2.0)(w)))


def _scale(name: str, factor: float) -> WeightChange:
    return lambda w: w._replace(**{name: factor * getattr(w, name)})


def _copy_bias(source: str, target: str) -> WeightChange:
    return lambda w: w._replace(**{target: getattr(w, source)})


@mistake(
    "wrong-gate-bias",
    "step",
    kinds=("gru", "lstm"),
    why="one gate adds the bias that belongs to another gate",
    right="f = σ(W_if x + b_if + W_hf h + b_hf)",
    wrong="f = σ(W_if x + b_ii + W_hf h + b_hi)",
    fix="give each gate its own bias",
)
def wrong_gate_bias(kind: str) -> Iterator[Change]:
    gates = KINDS[kind].gates
    for taken, gate in enumerate(gates):
        for given, other in enumerate(gates):
            for names in (("b_ih",), ("b_hh",), BIASES):
                if taken != given:
                    yield Change(
                        f"the {gate} gate adds {' and '.join(names)} of the {other} gate",
                        _move_bias(names, taken, given),
                        gate=gate,
                    )


def _move_bias(names: tuple[str, ...], taken: int, given: int) -> WeightChange:
    def change(w: Weights) -> Weights:
        moved = {}
        for name in names:
            rows = list(getattr(w, name).unbind(-2))
            rows[taken] = rows[given]
            moved[name] = torch.stack(rows, dim=-2)
        return w._replace(**moved)

    return change


@mistake(
    "forget-bias-added",
    "step",
    kinds=("lstm",),
    why="1 is added inside the forget gate, as TensorFlow's forget_bias does",
    right="f = σ(W_if x + b_if + W_hf h + b_hf)",
    wrong="f = σ(W_if x + b_if + W_hf h + b_hf + 1)",
    fix="drop the constant; to start with an open forget gate, initialise the bias to 1 instead",
)
def forget_bias_added(kind: str) -> Iterator[Change]:
    def change(w: Weights) -> Weights:
        one = torch.zeros_like(w.b_ih)
        one[..., 1, :] = 1.0
        return w._replace(b_ih=w.b_ih + one)

    yield Change("1 is added to the forget gate", change, gate="forget")


@mistake(
    "untransposed-recurrent",
    "step",
    why="the recurrent weight is square, so a missing transpose raises no error",
    right="h @ W_hh.T",
    wrong="h @ W_hh",
    fix="transpose W_hh, or use F.linear(h, W_hh)",
)
def untransposed_recurrent(kind: str) -> Iterator[Change]:
    yield Change("W_hh is not transposed", lambda w: w._replace(hh=w.hh.transpose(-1, -2)))
