"""Two oracles for the layers, and the comparison that reports a difference.

The first oracle is torch.nn with the same weights: everything that it returns and every gradient.
The second is the equations of each cell, transcribed gate by gate for one sample, without code of
the package. The third oracle, finite differences, is torch.autograd.gradcheck.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from tests.helpers.strategies import Configuration

OUTPUT_TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}
GRADIENT_TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


def observe(layer: nn.Module, configuration: Configuration) -> dict[str, Tensor]:
    """Call the layer and return outputs, final state and every gradient, by name.

    The loss weights every element of the outputs and of the final state differently, so that two
    errors do not cancel. Gradients are read from ``grad`` of each leaf; a leaf without a gradient
    is absent.
    """
    sequence, leaf = configuration.input()
    state = configuration.state()
    hx: Any = None
    if configuration.given_state:
        hx = state if configuration.kind == "LSTM" else state[0]
    layer.zero_grad()
    torch.manual_seed(configuration.seed + 3)  # for dropout
    output, final = layer(sequence, hx)
    seen = {}
    if isinstance(output, PackedSequence):
        seen["output"] = output.data
        for name in ("batch_sizes", "sorted_indices", "unsorted_indices"):
            if getattr(output, name) is not None:
                seen[f"output.{name}"] = getattr(output, name)
    else:
        seen["output"] = output
    finals = final if isinstance(final, tuple) else (final,)
    seen |= {f"state[{index}]": part for index, part in enumerate(finals)}

    generator = torch.Generator().manual_seed(configuration.seed + 4)
    loss = sum(
        (part * torch.randn(part.shape, generator=generator, dtype=part.dtype).to(part)).sum()
        for name, part in seen.items()
        if "." not in name
    )
    loss.backward()
    leaves = {"input": leaf, **{f"hx[{index}]": part for index, part in enumerate(state)}}
    # state_dict, not named_parameters: its keys are torch.nn's names for every layer
    leaves |= layer.state_dict(keep_vars=True)
    gradients = {f"grad {name}": leaf.grad for name, leaf in leaves.items()}
    return seen | {name: gradient for name, gradient in gradients.items() if gradient is not None}


def differences(
    got: dict[str, Tensor], expected: dict[str, Tensor], dtype: torch.dtype
) -> list[str]:
    """One line per difference: what differs, by how much, and the first index. Empty if equal."""
    lines = [f"{name}: missing" for name in expected.keys() - got.keys()]
    lines += [f"{name}: not expected" for name in got.keys() - expected.keys()]
    for name in sorted(expected.keys() & got.keys()):
        a, b = got[name], expected[name]
        if a.shape != b.shape or a.dtype != b.dtype or a.stride() != b.stride():
            lines.append(
                f"{name}: got {tuple(a.shape)} {a.dtype} strides {a.stride()}, "
                f"expected {tuple(b.shape)} {b.dtype} strides {b.stride()}"
            )
            continue
        if b.numel() == 0:
            continue
        tolerances = GRADIENT_TOLERANCE if name.startswith("grad") else OUTPUT_TOLERANCE
        bound = tolerances[dtype] * max(1.0, b.abs().max().item())
        differs = ~((a - b).abs() <= bound)  # True for NaN, too
        if differs.any():
            where = tuple(differs.nonzero()[0].tolist())
            largest = (a - b).abs().max().item()
            lines.append(
                f"{name}: largest difference {largest:.3g}, allowed {bound:.3g}; first at "
                f"{where}: got {a[where].item()!r}, expected {b[where].item()!r}"
            )
    return lines


def assert_same(
    ours: nn.Module, theirs: nn.Module, configuration: Configuration, dtype: torch.dtype
) -> None:
    """Assert equal outputs, states and gradients; a failure shows the configuration."""
    lines = differences(observe(ours, configuration), observe(theirs, configuration), dtype)
    assert not lines, "\n".join([*lines, "with", repr(configuration)])


# --- the equations, transcribed ---------------------------------------------------------------


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def tanh(x: Tensor) -> Tensor:
    return (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x))


Weights = dict[str, Tensor]
"""The weights of a cell of torch.nn: weight_ih, weight_hh and, with bias, bias_ih and bias_hh."""


def affine(weights: Weights, kind: str, gate: int, size: int, x: Tensor) -> Tensor:
    """Compute W x + b for one gate and one sample."""
    rows = slice(gate * size, (gate + 1) * size)
    product = torch.stack([(row * x).sum() for row in weights[f"weight_{kind}"][rows]])
    bias = weights.get(f"bias_{kind}")
    return product if bias is None else product + bias[rows]


def rnn_equations(w: Weights, size: int, x: Tensor, h: Tensor) -> Tensor:
    return tanh(affine(w, "ih", 0, size, x) + affine(w, "hh", 0, size, h))


def gru_equations(w: Weights, size: int, x: Tensor, h: Tensor) -> Tensor:
    r = sigmoid(affine(w, "ih", 0, size, x) + affine(w, "hh", 0, size, h))
    z = sigmoid(affine(w, "ih", 1, size, x) + affine(w, "hh", 1, size, h))
    n = tanh(affine(w, "ih", 2, size, x) + r * affine(w, "hh", 2, size, h))
    return (1 - z) * n + z * h


def lstm_equations(w: Weights, size: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i = sigmoid(affine(w, "ih", 0, size, x) + affine(w, "hh", 0, size, h))
    f = sigmoid(affine(w, "ih", 1, size, x) + affine(w, "hh", 1, size, h))
    g = tanh(affine(w, "ih", 2, size, x) + affine(w, "hh", 2, size, h))
    o = sigmoid(affine(w, "ih", 3, size, x) + affine(w, "hh", 3, size, h))
    c = f * c + i * g
    return o * tanh(c), c


EQUATIONS: dict[str, Callable[..., Any]] = {
    "RNN": rnn_equations,
    "GRU": gru_equations,
    "LSTM": lstm_equations,
}
