"""Find the mistake: an RNN that is right in every test but one.

This layer trains, and with h_0 = 0 it equals ``torch.nn.RNN`` exactly. Used for a sequence that
arrives in two halves, it starts the second half as if there had been no first one.

    h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)

The check compares it with a right layer of the same weights and reports what agrees. Read that
first, and think which statement can have such an effect, before you read the code.

Shapes: x (T, B, I); h, the initial state, (B, H).
"""

import torch
from torch import Tensor, nn


class RNN(nn.Module):
    """A layer of an RNN, time first."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_to_hidden = nn.Linear(input_size, hidden_size)
        self.hidden_to_hidden = nn.Linear(hidden_size, hidden_size)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs (T, B, H) and h_n (B, H)."""
        # begin solution: one statement is wrong: find it and correct it
        h = h + 0  # h_0, the initial state that the caller passes
        outputs = []
        for x_t in x:  # for every time step
            h = torch.tanh(self.input_to_hidden(x_t) + self.hidden_to_hidden(h))  # h' = tanh(a)
            outputs.append(h)  # h'
        return torch.stack(outputs), h  # the outputs, h_n
        # given:
        # h = torch.zeros_like(h)
        # outputs = []
        # for x_t in x:
        #     h = torch.tanh(self.input_to_hidden(x_t) + self.hidden_to_hidden(h))
        #     outputs.append(h)
        # return torch.stack(outputs), h
        # end solution
