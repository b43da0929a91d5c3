"""An LSTM cell as a module.

Until now the weights were arguments. In a network they are parameters of an ``nn.Module``. An
``nn.Linear`` holds a matrix and a bias, so two of them hold all weights of the cell:

    input_to_hidden(x)  = W_ih x + b_ih      (B, I) -> (B, 4H)
    hidden_to_hidden(h) = W_hh h + b_hh      (B, H) -> (B, 4H)

This is how the cells in ``scratch_cells/`` are made. The state is the pair (h, c), and the cell
returns the new pair (h', c'). The rows are in torch.nn's order i, f, g, o.

The verifier compares your cell with ``torch.nn.LSTMCell``. You may write the body in your own way:
the verifier finds out which of your parameters is which.

Write the body of ``forward``.
"""

import torch
from torch import Tensor, nn


class LSTMCell(nn.Module):
    """A long short-term memory cell."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_to_hidden = nn.Linear(input_size, 4 * hidden_size)
        self.hidden_to_hidden = nn.Linear(hidden_size, 4 * hidden_size)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return h' and c', both (B, H), for x (B, I) and state (h, c)."""
        # begin solution: compute the gates, then c_next and h_next; return h_next, c_next
        h, c = state
        a = self.input_to_hidden(x) + self.hidden_to_hidden(h)
        a_i, a_f, a_g, a_o = a.chunk(4, dim=-1)
        i = torch.sigmoid(a_i)
        f = torch.sigmoid(a_f)
        g = torch.tanh(a_g)
        o = torch.sigmoid(a_o)
        c_next = f * c + i * g
        h_next = o * torch.tanh(c_next)
        return h_next, c_next
        # end solution
