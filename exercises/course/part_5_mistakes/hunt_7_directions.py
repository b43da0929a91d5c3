"""Find the mistake: a bidirectional RNN.

This layer trains: for a sequence as a whole its final states are right. As a tagger, which needs an
output for every step, it is worse than it should be, because half of every output belongs to
another time step.

    output_t = [forward state after x_1 ... x_t, reverse state after x_T ... x_t]

The check compares it with a right layer of the same weights and reports what agrees. Read that
first, and think which statement can have such an effect, before you read the code.

Shapes: x (T, B, I); h_0 (2, B, H), forward first; outputs (T, B, 2H); h_n (2, B, H).
"""

import torch
from torch import Tensor, nn


class BidirectionalRNN(nn.Module):
    """Two RNN layers that read the sequence in opposite directions, time first."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.forward_rnn = nn.RNN(input_size, hidden_size)
        self.reverse_rnn = nn.RNN(input_size, hidden_size)

    def forward(self, x: Tensor, h_0: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of both directions, (T, B, 2H), and h_n, (2, B, H)."""
        # begin solution: one statement is wrong: find it and correct it
        forward, h_forward = self.forward_rnn(x, h_0[:1])  # x, from h_0[0]
        backwards, h_reverse = self.reverse_rnn(x.flip(0), h_0[1:])  # x_T ... x_1, from h_0[1]
        reverse = backwards.flip(0)  # in the order of the input
        h_n = torch.cat([h_forward, h_reverse])  # forward, reverse
        return torch.cat([forward, reverse], dim=-1), h_n  # [forward, reverse] of every step, h_n
        # given:
        # forward, h_forward = self.forward_rnn(x, h_0[:1])
        # backwards, h_reverse = self.reverse_rnn(x.flip(0), h_0[1:])
        # reverse = backwards
        # h_n = torch.cat([h_forward, h_reverse])
        # return torch.cat([forward, reverse], dim=-1), h_n
        # end solution
