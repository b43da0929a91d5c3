"""Find the mistake: an LSTM whose state grows.

This layer trains: it reads the 8 x 8 digits by rows with 95 % accuracy, like a right one. But with
the weights of ``torch.nn.LSTM`` it returns other values, and elements of h can be larger than 1,
which is impossible in an LSTM:

    c' = f ⊙ c + i ⊙ g        h' = o ⊙ tanh(c')

The check compares it with a right layer of the same weights and reports what agrees. Read that
first, and think which statement can have such an effect, before you read the code.

Shapes: x (T, B, I); h and c (B, H).
"""

import torch
from torch import Tensor, nn


class LSTM(nn.Module):
    """A layer of long short-term memory, time first."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_to_hidden = nn.Linear(input_size, 4 * hidden_size)
        self.hidden_to_hidden = nn.Linear(hidden_size, 4 * hidden_size)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the outputs (T, B, H), h_n and c_n, both (B, H)."""
        # begin solution: one statement is wrong: find it and correct it
        outputs = []
        for x_t in x:  # for every time step
            from_x = self.input_to_hidden(x_t)  # W_ih x + b_ih
            a = from_x + self.hidden_to_hidden(h)  # a = W_ih x + b_ih + W_hh h + b_hh
            a_i, a_f, a_g, a_o = a.chunk(4, dim=-1)  # the quarters of a: a_i, a_f, a_g, a_o
            i, f, o = torch.sigmoid(a_i), torch.sigmoid(a_f), torch.sigmoid(a_o)  # i, f, o: σ
            g = torch.tanh(a_g)  # g = tanh(a_g)
            c = f * c + i * g  # c' = f ⊙ c + i ⊙ g
            h = o * torch.tanh(c)  # h' = o ⊙ tanh(c')
            outputs.append(h)  # h'
        return torch.stack(outputs), h, c  # the outputs, h_n, c_n
        # given:
        # outputs = []
        # for x_t in x:
        #     from_x = self.input_to_hidden(x_t)
        #     a = from_x + self.hidden_to_hidden(h)
        #     a_i, a_f, a_g, a_o = a.chunk(4, dim=-1)
        #     i, f, o = torch.sigmoid(a_i), torch.sigmoid(a_f), torch.sigmoid(a_o)
        #     g = torch.tanh(a_g)
        #     c = f * c + i * g
        #     h = o * c
        #     outputs.append(h)
        # return torch.stack(outputs), h, c
        # end solution
