import torch
from torch import nn


class MyLSTM(nn.Module):
    """A cell: both biases in one (2, 4H) parameter."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.w = nn.Parameter(torch.randn(4 * hidden_size, input_size))
        self.u = nn.Parameter(torch.randn(4 * hidden_size, hidden_size))
        self.b = nn.Parameter(torch.randn(2, 4 * hidden_size))

    def forward(self, x, state):
        h, c = state
        i, f, g, o = (x @ self.w.T + self.b[0] + h @ self.u.T + self.b[1]).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c
