"""Find the mistake: a GRU from the first paper.

This layer trains: it reads the 8 x 8 digits with 96 % accuracy, and the paper of 2014 describes it
like this. ``torch.nn`` and cuDNN compute another function:

    r  = σ(W_ir x + b_ir + W_hr h + b_hr)
    z  = σ(W_iz x + b_iz + W_hz h + b_hz)
    n  = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))
    h' = (1 - z) ⊙ n + z ⊙ h

``w_hn`` and ``b_hn`` are the last thirds of the recurrent weight and bias.

The check compares it with a right layer of the same weights and reports what agrees. Read that
first, and think which statement can have such an effect, before you read the code.

Shapes: x (T, B, I); h (B, H).
"""

import torch
from torch import Tensor, nn


class GRU(nn.Module):
    """A layer of gated recurrent units, time first."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_to_hidden = nn.Linear(input_size, 3 * hidden_size)
        self.hidden_to_hidden = nn.Linear(hidden_size, 3 * hidden_size)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs (T, B, H) and h_n (B, H)."""
        # begin solution: one statement is wrong: find it and correct it
        w_hn = self.hidden_to_hidden.weight.chunk(3)[2]
        b_hn = self.hidden_to_hidden.bias.chunk(3)[2]
        outputs = []
        for x_t in x:  # for every time step
            x_r, x_z, x_n = self.input_to_hidden(x_t).chunk(3, dim=-1)  # W_ih x + b_ih
            h_r, h_z, _ = self.hidden_to_hidden(h).chunk(3, dim=-1)  # W_hh h + b_hh
            r = torch.sigmoid(x_r + h_r)  # r = σ(W_ir x + b_ir + W_hr h + b_hr)
            z = torch.sigmoid(x_z + h_z)  # z = σ(W_iz x + b_iz + W_hz h + b_hz)
            s = r * (h @ w_hn.T + b_hn)  # r ⊙ (W_hn h + b_hn)
            n = torch.tanh(x_n + s)  # n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))
            h = (1 - z) * n + z * h  # h' = (1 - z) ⊙ n + z ⊙ h
            outputs.append(h)  # h'
        return torch.stack(outputs), h  # the outputs, h_n
        # given:
        # w_hn = self.hidden_to_hidden.weight.chunk(3)[2]
        # b_hn = self.hidden_to_hidden.bias.chunk(3)[2]
        # outputs = []
        # for x_t in x:
        #     x_r, x_z, x_n = self.input_to_hidden(x_t).chunk(3, dim=-1)
        #     h_r, h_z, _ = self.hidden_to_hidden(h).chunk(3, dim=-1)
        #     r = torch.sigmoid(x_r + h_r)
        #     z = torch.sigmoid(x_z + h_z)
        #     s = (r * h) @ w_hn.T + b_hn
        #     n = torch.tanh(x_n + s)
        #     h = (1 - z) * n + z * h
        #     outputs.append(h)
        # return torch.stack(outputs), h
        # end solution
