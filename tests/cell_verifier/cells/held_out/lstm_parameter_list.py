import torch
from torch import nn


class MyLSTM(nn.Module):
    """A cell: all weights in one interleaved nn.ParameterList."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        weights = []
        for _ in range(4):
            weights.append(nn.Parameter(torch.randn(input_size, hidden_size)))
            weights.append(nn.Parameter(torch.randn(hidden_size, hidden_size)))
            weights.append(nn.Parameter(torch.randn(hidden_size)))
        self.weights = nn.ParameterList(weights)

    def forward(self, x, state):
        h, c = state
        w = list(self.weights)
        f, i, o, g = (x @ w[k] + h @ w[k + 1] + w[k + 2] for k in (0, 3, 6, 9))
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, c
