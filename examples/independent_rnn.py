"""An RNN whose units do not read each other: the independently recurrent network.

python train.py --implementation examples/independent_rnn.py:IndRNNCell
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from scratch_cells import Cell


class IndRNNCell(Cell):
    """The independently recurrent network: each unit reads only its own state.

        h' = ReLU(W x + b + u ⊙ h)

    u is a vector of H elements. There is no product with h, so the gradient through T steps of a
    unit is u to the power T where ReLU is not 0. Units read each other in the next layer.

    Source: S. Li et al., Independently Recurrent Neural Network (IndRNN) (2018), arXiv:1803.04831,
    with u drawn from U(0, 1).
    """

    class Gates(NamedTuple):
        candidate: Tensor

    def make_weights(self, device: Any, dtype: torch.dtype | None) -> None:
        H = self.hidden_size  # noqa: N806   as in the shapes
        self.input_to_hidden = nn.Linear(self.input_size, H, self.bias, device, dtype)
        self.hidden_to_hidden = None  # there is no product with h
        self.u = nn.Parameter(torch.empty(H, device=device, dtype=dtype))

    def torch_names(self) -> dict[str, str]:
        return {"weight_ih": "input_to_hidden.weight", "bias_ih": "input_to_hidden.bias"}

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.uniform_(self.u, 0.0, 1.0)

    def gates(self, projected: Tensor, h: Tensor) -> Gates:
        return self.Gates(candidate=torch.relu(projected + self.u * h))

    def update(self, gates: Gates, h: Tensor) -> Tensor:
        return gates.candidate
