"""Mistakes in reading the weights: order of rows, biases, transposition."""

from collections.abc import Iterator
from itertools import combinations, permutations

import torch
from torch import Tensor

from cell_verifier.mistakes.mistake import Change, WeightChange, mistake
from cell_verifier.reference.equations import Weights
from cell_verifier.reference.kinds import KINDS

BIASES = ("b_ih", "b_hh")


@mistake(
    "gate-order",
    "step",
    kinds=("gru", "lstm"),
    why="the gates are read from the stacked weights in another order than torch.nn's",
    right="i, f, g, o = a.chunk(4, dim=-1)   (GRU: r, z, n)",
    wrong="i, f, o, g = a.chunk(4, dim=-1)   (or another order)",
    fix="unpack the chunks in torch.nn's order: LSTM i, f, g, o; GRU r, z, n",
)
def gate_order(kind: str) -> Iterator[Change]:
    gates = KINDS[kind].gates
    right = tuple(range(len(gates)))
    for order in permutations(right):
        # Reading the rows as f, i, g, o is the same function as exchanging i and f in the update
        # of c; that function is reported as swapped-input-forget.
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
    why="with the gate axis last, each gate gets every G-th row instead of H consecutive rows",
    right="a.chunk(4, dim=-1), or a.view(B, 4, H)",
    wrong="a.view(B, H, 4)",
    fix="use a.chunk(G, dim=-1), or a.view(B, G, H).unbind(1)",
)
def reshape_not_chunk(kind: str) -> Iterator[Change]:
    yield Change(
        "each gate reads every G-th row",
        lambda w: w._replace(
            ih=_interleave(w.ih, -3), hh=_interleave(w.hh, -3),
            b_ih=_interleave(w.b_ih, -2), b_hh=_interleave(w.b_hh, -2),
        ),
    )  # fmt: skip


def _interleave(stacked: Tensor, gate_axis: int) -> Tensor:
    """The rows of (..., G, H, ...) renumbered as if their order were (H, G)."""
    gates, units = stacked.shape[gate_axis], stacked.shape[gate_axis + 1]
    rows = stacked.flatten(gate_axis, gate_axis + 1)
    axis = gate_axis + 1
    split: Tensor = rows.unflatten(axis, (units, gates))
    return split.transpose(axis - 1, axis)


@mistake(
    "missing-bias",
    "step",
    why="one of the two biases is never added",
    right="W_ih x + b_ih + W_hh h + b_hh",
    wrong="W_ih x + b_ih + W_hh h",
    fix="add the missing bias",
)
def missing_bias(kind: str) -> Iterator[Change]:
    for name in BIASES:
        yield Change(f"{name} is not added", _scale(name, 0.0))


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
        yield Change(f"{name} is added twice", _scale(name, 2.0))
        other = BIASES[1 - BIASES.index(name)]
        yield Change(f"{name} is also used in place of {other}", _copy_bias(name, other))
    yield Change(
        "both biases are added twice", lambda w: _scale("b_ih", 2.0)(_scale("b_hh", 2.0)(w))
    )


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
    for target, gate in enumerate(gates):
        for source, other in enumerate(gates):
            for names in (("b_ih",), ("b_hh",), BIASES):
                if target != source:
                    yield Change(
                        f"the {gate} gate adds {' and '.join(names)} of the {other} gate",
                        _copy_gate_bias(names, source, (target,)),
                        gate=gate,
                    )
    for source, other in enumerate(gates):
        rest = [gate for gate in range(len(gates)) if gate != source]
        for count in range(2, len(gates)):
            for targets in combinations(rest, count):
                wrong = " and ".join(gates[target] for target in targets)
                for names in (("b_ih",), BIASES):
                    yield Change(
                        f"the {wrong} gates add {' and '.join(names)} of the {other} gate",
                        _copy_gate_bias(names, source, targets),
                        in_pairs=False,
                    )


def _copy_gate_bias(names: tuple[str, ...], source: int, targets: tuple[int, ...]) -> WeightChange:
    def change(w: Weights) -> Weights:
        copied = {}
        for name in names:
            rows = list(getattr(w, name).unbind(-2))
            for target in targets:
                rows[target] = rows[source]
            copied[name] = torch.stack(rows, dim=-2)
        return w._replace(**copied)

    return change


@mistake(
    "forget-bias-added",
    "step",
    kinds=("lstm",),
    why="1 is added to the forget gate's pre-activation, like TensorFlow's forget_bias",
    right="f = σ(W_if x + b_if + W_hf h + b_hf)",
    wrong="f = σ(W_if x + b_if + W_hf h + b_hf + 1)",
    fix="remove the constant; to start with an open forget gate, initialise its bias to 1",
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
    why="W_hh is square, so a missing transpose raises no error",
    right="h @ W_hh.T",
    wrong="h @ W_hh",
    fix="transpose W_hh, or use F.linear(h, W_hh)",
)
def untransposed_recurrent(kind: str) -> Iterator[Change]:
    yield Change("W_hh is not transposed", lambda w: w._replace(hh=w.hh.transpose(-1, -2)))


MISTAKES = (
    gate_order,
    reshape_not_chunk,
    missing_bias,
    double_bias,
    wrong_gate_bias,
    forget_bias_added,
    untransposed_recurrent,
)
