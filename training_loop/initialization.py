"""Initialization schemes of a recurrent layer: torch.nn's, orthogonal, chrono, uniform gates."""

import torch
from torch import Tensor, nn

from scratch_cells import GRUCell, LSTMCell, RNNCell
from scratch_cells.recurrent_stack import RecurrentStack

# Gates of torch.nn's layers, by their class names. scratch_cells has the same order of weight rows.
GATES = {"LSTM": LSTMCell.Gates, "GRU": GRUCell.Gates, "RNN": RNNCell.Gates}


@torch.no_grad()
def initialize(layer: nn.Module, scheme: str, time: int) -> None:
    """Initialize a recurrent layer from torch's global generator, in the order of torch.nn.

    | scheme       | recurrent weights   | LSTM's forget-gate bias | GRU's update-gate bias  |
    |--------------|---------------------|-------------------------|-------------------------|
    | torch        | U(-1/√H, 1/√H)      | U(-1/√H, 1/√H)          | U(-1/√H, 1/√H)          |
    | orthogonal   | orthogonal per gate | 1                       | 0                       |
    | chrono       | orthogonal per gate | log U(1, time - 1)      | log U(1, time - 1)      |
    | uniform-gate | orthogonal per gate | logit U(1/H, 1 - 1/H)   | logit U(1/H, 1 - 1/H)   |

    With every scheme but ``torch``, input weights are unchanged and all other biases are 0, except
    that ``chrono`` and ``uniform-gate`` set the bias of an LSTM's input gate to minus that of its
    forget gate. A layer of the user's own cell gets orthogonal recurrent weights, and its biases
    are unchanged. Any other layer is unchanged.

    Args:
        layer: scratch, builtin, or the user's.
        scheme: ``torch``, ``orthogonal``, ``chrono`` or ``uniform-gate``.
        time: number of time steps of the sequences.

    Sources: A. Saxe et al. (2013), arXiv:1312.6120, and Q. Le et al. (2015), arXiv:1504.00941, for
    orthogonal and identity recurrent weights, which preserve the norm of the state; F. Gers et al.,
    Learning to Forget (2000), and R. Jozefowicz et al. (2015) for the forget gate's bias; C. Tallec
    & Y. Ollivier, Can Recurrent Neural Networks Warp Time? (2018), arXiv:1804.11188, eqs. 15 and
    16, for chrono; A. Gu et al., Improving the Gating Mechanism of Recurrent Neural Networks
    (2020), arXiv:1910.09890, for uniform gates.
    """
    gates = gates_of(layer)
    if scheme == "torch" or gates is None:
        return
    weights = {
        n: w for n, w in layer.state_dict(keep_vars=True).items() if n.startswith("weight_hh")
    }
    for name, weight in weights.items():
        for gate in weight.chunk(len(gates._fields)):  # type: ignore[attr-defined]  # of a NamedTuple
            nn.init.orthogonal_(gate)
        initialize_biases(layer, name, gates, scheme, time)


def initialize_biases(
    layer: nn.Module, weight_hh: str, gates: type[tuple[Tensor, ...]], scheme: str, time: int
) -> None:
    """Initialize the biases of one cell: b_ih as in the table, b_hh to 0, as they are added."""
    if gates not in GATES.values():
        return
    b_ih = getattr(layer, weight_hh.replace("weight_hh", "bias_ih"))
    b_hh = getattr(layer, weight_hh.replace("weight_hh", "bias_hh"))
    if b_ih is None:  # a cell of the user's own without biases
        return
    b_ih.zero_()
    b_hh.zero_()
    by_gate = gates(*b_ih.chunk(len(gates._fields)))  # type: ignore[attr-defined]  # of a NamedTuple
    spread = scheme in ("chrono", "uniform-gate")
    if isinstance(by_gate, LSTMCell.Gates):
        if spread:
            by_gate.forget.copy_(spread_biases(by_gate.forget, scheme, time))
            by_gate.input.copy_(-by_gate.forget)
        else:
            by_gate.forget.fill_(1.0)
    elif isinstance(by_gate, GRUCell.Gates) and spread:
        # torch.nn's update gate is the share of h that is kept, like an LSTM's forget gate.
        by_gate.update.copy_(spread_biases(by_gate.update, scheme, time))


def spread_biases(bias: Tensor, scheme: str, time: int) -> Tensor:
    """Biases of a gate that keeps the state, drawn so that the units forget at different speeds.

    A gate with the value f forgets in about 1 / (1 - f) steps. ``chrono`` draws that number of
    steps, less one, from U(1, time - 1), so that its bias is the logarithm; ``uniform-gate`` draws
    f itself from U(1/H, 1 - 1/H).

    Args:
        bias: (H,), for its shape and type.
        scheme: ``chrono`` or ``uniform-gate``.
        time: number of time steps of the sequences.
    """
    drawn = torch.empty_like(bias)
    if scheme == "chrono":
        return drawn.uniform_(1.0, max(1.0, time - 1.0)).log_()
    margin = min(0.5, 1 / len(bias))  # 0.5: the interval of a single unit is one point
    return drawn.uniform_(margin, 1 - margin).logit_()


def gates_of(layer: nn.Module) -> type[tuple[Tensor, ...]] | None:
    """``Gates`` of the layer's cell, in the order of its weight rows; None for other modules."""
    if isinstance(layer, RecurrentStack):
        return layer.cell_class.Gates
    return GATES[layer.mode.partition("_")[0]] if isinstance(layer, nn.RNNBase) else None
