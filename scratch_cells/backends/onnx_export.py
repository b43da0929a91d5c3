"""A cell over a sequence as an operator of ONNX, for both exporters of ``torch.onnx``.

ONNX's RNN, GRU and LSTM read one sequence in one direction, for any number of time steps. Their
rows have the order n (RNN), z, r, n (GRU) and i, o, f, g (LSTM), one operand holds both biases, and
weights and states have a leading dimension of directions, D = 1.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from scratch_cells.recording import is_traced

OPSET = 14
"""Version of the three operators, the same in every opset from 14 to 21."""

ROWS = {"gru": (1, 0, 2), "lstm": (0, 3, 1, 2)}
"""ONNX's order of the gates, as indices into torch.nn's order."""

ACTIVATIONS = {"rnn_tanh": "Tanh", "rnn_relu": "Relu"}


@cache
def translate_in_onnx_export(operator: Any) -> None:
    """Make ``torch.onnx.export`` record ONNX's operators in the place of an operator.

    Args:
        operator: an overload with the arguments of ``sequence``.
    """
    from torch.fx.experimental.proxy_tensor import ProxyTorchDispatchMode  # takes a second

    @operator.py_impl(ProxyTorchDispatchMode)  # type: ignore[untyped-decorator]  # part of torch
    def _(mode: Any, *arguments: Any) -> Any:
        if not torch.onnx.is_in_onnx_export():
            return mode.__torch_dispatch__(operator, (), arguments)
        x, w_ih, w_hh, b_ih, b_hh, state, kernel, reverse, _ = arguments
        kind = kernel.partition(" ")[0]
        with mode:
            return onnx_operator(kind, x, w_ih, w_hh, b_ih, b_hh, state, reverse)


def onnx_operator(
    kind: str,
    input: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    state: list[Tensor],
    reverse: bool,
) -> list[Tensor]:
    """The operator of ONNX with the results of ``sequence``: the outputs and the final state.

    A program can only record it: it computes zeros.

    Raises:
        TypeError: the operands are not float32.
    """
    check_dtype(input)
    time, batch, size = input.size(0), input.size(1), w_hh.size(1)
    attributes: dict[str, Any] = {"hidden_size": size}
    attributes["direction"] = "reverse" if reverse else "forward"
    if kind == "gru":
        attributes["linear_before_reset"] = 1
    if kind in ACTIVATIONS:
        attributes["activations"] = [ACTIVATIONS[kind]]
    weights = [_in_order_of_onnx(kind, w) for w in (w_ih, w_hh)]
    biases = [_in_order_of_onnx(kind, b) for b in both_biases(w_hh, b_ih, b_hh)]
    operands = [*weights, torch.cat(biases)] if biases else weights
    outputs, *final = torch.onnx.ops.symbolic_multi_out(
        kind.partition("_")[0].upper(),
        [
            input,
            *(each.unsqueeze(0) for each in operands),
            *[None]
            * (4 - len(operands)),  # the lengths of the sequences and, without one, the bias
            *(part.unsqueeze(0) for part in state),
        ],
        attributes,
        dtypes=[input.dtype] * (1 + len(state)),
        shapes=[(time, 1, batch, size), *[(1, batch, size)] * len(state)],
        version=OPSET,
    )
    return [outputs.squeeze(1), *(part.squeeze(0) for part in final)]


def check_dtype(input: Tensor) -> None:
    """Raise TypeError if onnxruntime cannot run the file."""
    if input.dtype != torch.float32:
        raise TypeError(
            f"the input is {input.dtype}, in which onnxruntime has no recurrent operators: call "
            "model.float() before torch.onnx.export"
        )


def both_biases(w_hh: Tensor, b_ih: Tensor | None, b_hh: Tensor | None) -> list[Tensor]:
    """Both biases, with zeros for one that is missing; none if both are."""
    if b_ih is None and b_hh is None:
        return []
    return [w_hh.new_zeros(w_hh.size(0)) if b is None else b for b in (b_ih, b_hh)]


def _in_order_of_onnx(kind: str, w: Tensor) -> Tensor:
    """The rows of a weight or a bias in ONNX's order of the gates."""
    if kind not in ROWS:
        return w
    size = w.size(0) // len(ROWS[kind])
    return torch.cat([w[gate * size : (gate + 1) * size] for gate in ROWS[kind]])


def is_traced_for_onnx() -> bool:
    """Whether the exporter of ``torch.onnx`` that is based on ``torch.jit.trace`` records."""
    return is_traced() and torch.onnx.is_in_onnx_export()


def traced_operator(
    kind: str,
    input: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    state: list[Tensor],
    reverse: bool,
) -> list[Tensor]:
    """The results of ``sequence`` by torch's own operator, which that exporter translates.

    Raises:
        TypeError: the operands are not float32.
    """
    check_dtype(input)
    biases = both_biases(w_hh, b_ih, b_hh)
    run: Any = getattr(torch, kind)
    outputs, *final = run(
        input.flip(0) if reverse else input,
        tuple(part.unsqueeze(0) for part in state) if kind == "lstm" else state[0].unsqueeze(0),
        [w_ih, w_hh, *biases],
        bool(biases),
        1,  # layer
        0.0,  # dropout
        False,  # train
        False,  # bidirectional
        False,  # batch_first
    )
    return [outputs.flip(0) if reverse else outputs, *(part.squeeze(0) for part in final)]


def is_exported_to_onnx() -> bool:
    """Whether ``torch.onnx.export`` runs."""
    return bool(torch.onnx.is_in_onnx_export())
