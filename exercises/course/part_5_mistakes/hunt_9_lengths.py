"""Find the mistake: padded sequences of different lengths.

The sequences of a batch are padded to T steps. A sequence that has ended must keep its state. This
layer trains, but every prediction depends a little on how the batch was padded.

    h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)    while t < length
    h_t = h_{t-1}                                        after that

The first step has t = 0, so a sequence of length n has the steps 0 ... n - 1.

The check compares it with a right layer of the same weights and reports what agrees. Read that
first, and think which statement can have such an effect, before you read the code.

Shapes: x (T, B, I); h (B, H); lengths (B,).
"""

import torch
from torch import Tensor, nn


class PaddedRNN(nn.Module):
    """An RNN layer for padded sequences, time first."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_to_hidden = nn.Linear(input_size, hidden_size)
        self.hidden_to_hidden = nn.Linear(hidden_size, hidden_size)

    def forward(self, x: Tensor, h: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs (T, B, H) and the final states (B, H)."""
        # begin solution: one statement is wrong: find it and correct it
        outputs = []
        for t, x_t in enumerate(x):  # for every time step t = 0 ... T-1
            new = torch.tanh(self.input_to_hidden(x_t) + self.hidden_to_hidden(h))  # tanh(a)
            is_active = (t < lengths)[:, None]  # t < length, (B, 1)
            h = torch.where(is_active, new, h)  # the new state while active, then the old one
            outputs.append(h)  # h_t
        return torch.stack(outputs), h  # the outputs, the final states
        # given:
        # outputs = []
        # for t, x_t in enumerate(x):
        #     new = torch.tanh(self.input_to_hidden(x_t) + self.hidden_to_hidden(h))
        #     is_active = (t <= lengths)[:, None]
        #     h = torch.where(is_active, new, h)
        #     outputs.append(h)
        # return torch.stack(outputs), h
        # end solution
