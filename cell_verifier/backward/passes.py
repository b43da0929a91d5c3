"""Forward and backward pass over a sequence, written without autograd and without ``torch.nn``."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from cell_verifier.backward.derivation import (
    Environment,
    Equations,
    Expression,
    ForwardVariant,
    equations_of,
    evaluate,
)
from cell_verifier.reference.equations import replace_stages

Tensors = dict[str, Tensor]
"""By name: ``x`` (T, B, I), ``h``, ``c`` (B, H), ``weight_ih`` (G, H, I), ``weight_hh`` (G, H, H),
``bias_ih``, ``bias_hh`` (G, H). Inputs, and the gradients with respect to them."""


@dataclass(frozen=True)
class Upstream:
    """Gradients of the loss with respect to what the forward pass returns.

    Attributes:
        h, c: with respect to the state after every step, each (T, B, H).
        final_h, final_c: with respect to the final state where it is returned separately, (B, H).
    """

    h: Tensor
    c: Tensor
    final_h: Tensor
    final_c: Tensor


@dataclass(frozen=True)
class Edits:
    """What a mistake changes in the backward pass.

    Attributes:
        equations: name -> the wrong right-hand side.
        loop: stage of ``BackwardLoop`` -> the function in its place.
    """

    equations: Mapping[str, Expression] = field(default_factory=dict)
    loop: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def __or__(self, other: "Edits") -> "Edits":
        return Edits({**self.equations, **other.equations}, {**self.loop, **other.loop})

    def overlaps(self, other: "Edits") -> bool:
        """Whether both change the same equation or stage."""
        return bool(
            self.equations.keys() & other.equations.keys() or self.loop.keys() & other.loop.keys()
        )


class BackwardLoop:
    """The loop over time of the backward pass; ``stages`` replaces methods of it."""

    def __init__(self, stages: Mapping[str, Callable[..., Any]]) -> None:
        replace_stages(self, dict(stages))

    @staticmethod
    def upstream(given: Upstream) -> Upstream:
        """Hook applied to the gradients that the backward pass receives."""
        return given

    @staticmethod
    def order(steps: int) -> Iterable[int]:
        return reversed(range(steps))

    @staticmethod
    def add_hidden(own: Tensor, from_next: Tensor) -> Tensor:
        """The gradient of h': of the step's own output, and from the next step."""
        return own + from_next

    @staticmethod
    def add_cell(own: Tensor, from_next: Tensor) -> Tensor:
        return own + from_next

    @staticmethod
    def accumulate(name: str, total: Tensor, step: Tensor) -> Tensor:
        """Add a step's gradient of a parameter to the sum over time."""
        return total + step

    @staticmethod
    def finish(gradients: Tensors, steps: Sequence[Environment], letters: str) -> Tensors:
        """Hook applied to the gradients that are returned.

        Args:
            steps: all values of each step.
            letters: the gates in the order of the user's stacked weights.
        """
        return gradients


def run_forward(variant: ForwardVariant, inputs: Tensors) -> list[Environment]:
    """Everything that a backward pass may use, for each time step."""
    state, steps = {"h": inputs["h"], "c": inputs["c"]}, []
    weights = _named_weights(variant, inputs)
    for x in inputs["x"]:
        values = {**weights, **state, "x": x}
        a = {}
        for n, letter in enumerate(variant.letters):
            from_x = x @ inputs["weight_ih"][n].T + inputs["bias_ih"][n]
            from_h = state["h"] @ inputs["weight_hh"][n].T + inputs["bias_hh"][n]
            values[f"{letter}_x"], values[f"{letter}_h"] = from_x, from_h
            a[letter] = from_x + from_h
        {"rnn": _rnn_step, "gru": _gru_step, "lstm": _lstm_step}[variant.kind](variant, values, a)
        steps.append(values)
        state = {"h": values["h'"], "c": values.get("c'", state["c"])}
    return steps


def _rnn_step(variant: ForwardVariant, values: Environment, a: Tensors) -> None:
    values["h'"] = torch.tanh(a["h"])
    _add_derivatives(values, "h'")


def _gru_step(variant: ForwardVariant, values: Environment, a: Tensors) -> None:
    h = values["h"]
    r, z = torch.sigmoid(a["r"]), torch.sigmoid(a["z"])
    recurrent = r * values["n_h"]
    if variant.reset_first:
        values["r⊙h"] = r * h
        bias = values["n_h"] - h @ values["W_hn"].T
        recurrent = values["r⊙h"] @ values["W_hn"].T + bias
    n = torch.tanh(values["n_x"] + recurrent)
    values |= {"r": r, "z": z, "n": n}
    values["h'"] = z * n + (1 - z) * h if variant.swapped_update else (1 - z) * n + z * h
    for gate in "rzn":
        _add_derivatives(values, gate)


def _lstm_step(variant: ForwardVariant, values: Environment, a: Tensors) -> None:
    i, f, o = (torch.sigmoid(a[gate]) for gate in "ifo")
    g = torch.tanh(a["g"])
    values |= {"i": i, "f": f, "g": g, "o": o}
    values["c'"] = f * values["c"] + i * g
    values["tanh(c')"] = torch.tanh(values["c'"])
    values["(1-tanh²(c'))"] = 1 - values["tanh(c')"] ** 2
    values["(1+tanh²(c'))"] = 1 + values["tanh(c')"] ** 2
    values["(1-tanh(c'))"] = 1 - values["tanh(c')"]
    values["(1-c'²)"] = 1 - values["c'"] ** 2
    values["(1-tanh²(c))"] = 1 - torch.tanh(values["c"]) ** 2
    values["tanh(c)"] = torch.tanh(values["c"])
    values["h'"] = o * values["tanh(c')"]
    for gate in "ifgo":
        _add_derivatives(values, gate)


def _add_derivatives(values: Environment, name: str) -> None:
    """Add 1-s and 1-s², of which the derivatives of sigmoid and tanh consist, and 1+s, 1+s²."""
    for power, value in (("", values[name]), ("²", values[name] ** 2)):
        values[f"(1-{name}{power})"] = 1 - value
        values[f"(1+{name}{power})"] = 1 + value


def _named_weights(variant: ForwardVariant, inputs: Tensors) -> Environment:
    return {
        f"W_{source}{letter}": inputs[name][n]
        for source, name in (("i", "weight_ih"), ("h", "weight_hh"))
        for n, letter in enumerate(variant.letters)
    }


def run_backward(
    variant: ForwardVariant,
    steps: Sequence[Environment],
    upstream: Upstream,
    edits: Edits,
    letters: str = "",
) -> Tensors:
    """The gradients with respect to all inputs.

    Args:
        steps: what ``run_forward`` returns.
        letters: the gates in the order of the user's stacked weights; by default torch.nn's.
    """
    equations: Equations = {**equations_of(variant), **edits.equations}
    loop = BackwardLoop(edits.loop)
    given = loop.upstream(upstream)
    dh, dc = given.final_h, given.final_c
    totals: Tensors = {}
    computed = list(steps)
    for t in loop.order(len(steps)):
        values = dict(steps[t])
        values["dh'"] = loop.add_hidden(given.h[t], dh)
        values["dc'"] = loop.add_cell(given.c[t], dc)
        zero = torch.zeros_like(dh)
        for name, expression in equations.items():
            values[name] = evaluate(expression, values) if expression else zero
        dh, dc, computed[t] = values["dh"], values.get("dc", dc), values
        for name in equations:
            if name.startswith(("dW_", "db_")):
                step = values[name]
                totals[name] = loop.accumulate(name, totals[name], step) if name in totals else step
    gradients = {"x": torch.stack([values["dx"] for values in computed]), "h": dh}
    if variant.kind == "lstm":
        gradients["c"] = dc
    for name, prefix in PREFIXES.items():
        gradients[name] = torch.stack([totals[prefix + letter] for letter in variant.letters])
    return loop.finish(gradients, computed, letters or variant.letters)


PREFIXES = {"weight_ih": "dW_i", "weight_hh": "dW_h", "bias_ih": "db_i", "bias_hh": "db_h"}
