"""The long short-term memory (LSTM) cell, written by hand.

By default a layer, ``LSTM(...)``, computes the same equations with a faster backend.
``LSTM(..., backend="plain")`` runs the code below, so a breakpoint in it is reached; so does a
call of ``LSTMCell`` itself.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from scratch_cells.cell import Cell
from scratch_cells.linears import linear


class LSTMCell(Cell):
    """The long short-term memory, with the equations of torch.nn.LSTMCell.

        i  = σ(W_ii x + b_ii + W_hi h + b_hi)       input: how much of g is added to c
        f  = σ(W_if x + b_if + W_hf h + b_hf)       forget: how much of c is kept
        g  = tanh(W_ig x + b_ig + W_hg h + b_hg)    candidate
        o  = σ(W_io x + b_io + W_ho h + b_ho)       output: how much of tanh(c') becomes h'
        c' = f ⊙ c + i ⊙ g
        h' = o ⊙ tanh(c')

    W_ih (4*H, I) is W_ii, W_if, W_ig and W_io stacked along dimension 0. W_hh (4*H, H) and both
    biases are stacked in the same order. c is updated only by an elementwise product and a sum.
    Therefore the gradient passes through c over many time steps without vanishing where f is near
    one.

    The state is the pair (h, c).

    Source: S. Hochreiter and J. Schmidhuber, Long Short-Term Memory (1997), with the forget gate
    of F. Gers et al., Learning to Forget (2000). The two biases follow torch.nn.LSTMCell.
    """

    state_names = ("hidden", "cell")

    class Gates(NamedTuple):
        input: Tensor
        forget: Tensor
        candidate: Tensor
        output: Tensor

    def gates(self, projected: Tensor, state: tuple[Tensor, Tensor]) -> Gates:
        h, _ = state
        # W_ih x + b_ih + W_hh h + b_hh   (B, 4*H) -> 4 of (B, H)
        i, f, g, o = (projected + self.hidden_to_hidden(h)).chunk(4, dim=-1)
        return self.Gates(
            input=torch.sigmoid(i),
            forget=torch.sigmoid(f),
            candidate=torch.tanh(g),
            output=torch.sigmoid(o),
        )

    def update(self, gates: Gates, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        i, f, g, o = gates
        _, c = state
        c = f * c + i * g
        h = o * torch.tanh(c)
        return h, c


class ProjectedLSTMCell(LSTMCell):
    """An LSTM cell whose hidden state is projected to ``proj_size`` units, as in torch.nn.LSTM.

        h' = W_hr (o ⊙ tanh(c'))

    P is ``proj_size``. W_hr is (P, H) and has no bias; W_hh is (4*H, P). The state is the pair
    (h, c): h has P units and c has H.

    Source: H. Sak et al., Long Short-Term Memory Based Recurrent Neural Network Architectures for
    Large Vocabulary Speech Recognition (2014), arXiv:1402.1128.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        proj_size: int,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype, output_size=proj_size)

    def make_weights(self, device: Any, dtype: torch.dtype | None) -> None:
        super().make_weights(device, dtype)
        # W_hr (P, H)
        self.hidden_to_projection = linear(self.hidden_size, self.output_size, False, device, dtype)

    def update(self, gates: LSTMCell.Gates, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        h, c = super().update(gates, state)
        return self.hidden_to_projection(h), c  # (B, H) -> (B, P)

    def torch_names(self) -> dict[str, str]:
        return super().torch_names() | {"weight_hr": "hidden_to_projection.weight"}
