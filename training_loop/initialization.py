"""The first weights: torch.nn's own, or such that the state lasts from the start."""

import torch
from torch import Tensor, nn

from scratch_cells import GRUCell, LSTMCell, RNNCell
from scratch_cells.layers import RecurrentStack

GATES = {"LSTM": LSTMCell.Gates, "GRU": GRUCell.Gates, "RNN": RNNCell.Gates}


@torch.no_grad()
def initialize(layer: nn.Module, how: str, time: int) -> None:
    """Draw a recurrent layer's weights anew, from torch's global generator, in torch.nn's order.

    | how        | recurrent weights  | bias of the gate that keeps the state        |
    |------------|--------------------|----------------------------------------------|
    | torch      | U(-1/√H, 1/√H)     | the same                                     |
    | orthogonal | orthogonal by gate | an LSTM's forget gate: 1                     |
    | chrono     | orthogonal by gate | log U(1, time - 1): forgets over 1 to ``time`` |

    With ``orthogonal`` and ``chrono`` input weights stay as they were drawn and every other bias is
    zero, but for an LSTM's input gate with ``chrono``, whose bias is the forget gate's negated. A
    layer that answers to none of torch.nn's weight names keeps the weights that its class drew; one
    of the user's own cell has its recurrent weights made orthogonal and its biases left alone.

    Args:
        layer: scratch, builtin, or the user's.
        how: ``torch``, ``orthogonal`` or ``chrono``.
        time: steps of the sequences that it will read.

    Sources: A. Saxe et al. (2013), arXiv:1312.6120, and Q. Le et al. (2015), arXiv:1504.00941, for
    a recurrence that neither grows nor shrinks what it carries; F. Gers et al., Learning to Forget
    (2000), and R. Jozefowicz et al. (2015) for the forget gate's bias; C. Tallec & Y. Ollivier, Can
    Recurrent Neural Networks Warp Time? (2018), arXiv:1804.11188, eqs. 15 and 16, for chrono.
    """
    gates = gates_of(layer)
    if how == "torch" or gates is None:
        return
    weights = {
        n: w for n, w in layer.state_dict(keep_vars=True).items() if n.startswith("weight_hh")
    }
    for name, weight in weights.items():
        for gate in weight.chunk(len(gates._fields)):  # type: ignore[attr-defined]
            nn.init.orthogonal_(gate)
        draw_biases(layer, name, gates, how, time)


def draw_biases(
    layer: nn.Module, weight_hh: str, gates: type[tuple[Tensor, ...]], how: str, time: int
) -> None:
    """The biases that go with one recurrent matrix; both of a pair count as one, kept in b_ih."""
    if gates not in GATES.values():
        return
    b_ih = getattr(layer, weight_hh.replace("weight_hh", "bias_ih"))
    b_hh = getattr(layer, weight_hh.replace("weight_hh", "bias_hh"))
    b_ih.zero_()
    b_hh.zero_()
    by_gate = gates(*b_ih.chunk(len(gates._fields)))  # type: ignore[attr-defined]
    if isinstance(by_gate, LSTMCell.Gates):
        if how == "chrono":
            by_gate.forget.copy_(log_times(by_gate.forget, time))
            by_gate.input.copy_(-by_gate.forget)
        else:
            by_gate.forget.fill_(1.0)
    elif isinstance(by_gate, GRUCell.Gates) and how == "chrono":
        by_gate.update.copy_(log_times(by_gate.update, time))  # the update gate says what is kept


def log_times(bias: Tensor, time: int) -> Tensor:
    """log U(1, time - 1): σ of it forgets over that many steps."""
    return torch.empty_like(bias).uniform_(1.0, max(1.0, time - 1.0)).log_()


def gates_of(layer: nn.Module) -> type[tuple[Tensor, ...]] | None:
    """The names of a layer's gates, in the order of its weight rows, where they can be known."""
    if isinstance(layer, RecurrentStack):
        return layer.cell_class.Gates
    return GATES[layer.mode.partition("_")[0]] if isinstance(layer, nn.RNNBase) else None
