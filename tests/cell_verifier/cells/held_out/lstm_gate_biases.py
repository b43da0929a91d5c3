import torch
from torch import nn


class MyLSTM(nn.Module):
    """A cell: stacked weights, a bias per gate."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.W = nn.Parameter(torch.randn(input_size, 4 * hidden_size))
        self.U = nn.Parameter(torch.randn(hidden_size, 4 * hidden_size))
        self.b_i = nn.Parameter(torch.zeros(hidden_size))
        self.b_f = nn.Parameter(torch.ones(hidden_size))
        self.b_g = nn.Parameter(torch.zeros(hidden_size))
        self.b_o = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, x, state):
        h, c = state
        i, f, g, o = (x @ self.W + h @ self.U).chunk(4, -1)
        i, f = torch.sigmoid(i + self.b_i), torch.sigmoid(f + self.b_f)
        g, o = torch.tanh(g + self.b_g), torch.sigmoid(o + self.b_o)
        c = f * c + i * g
        return o * torch.tanh(c), c
