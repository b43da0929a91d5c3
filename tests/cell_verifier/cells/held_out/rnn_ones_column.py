import torch
from torch import nn


class MyRNN(nn.Module):
    """A cell: one matrix for [h, x, 1], the bias being its last column."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.W = nn.Parameter(torch.randn(hidden_size, hidden_size + input_size + 1))

    def forward(self, x, h):
        v = torch.cat([h, x, torch.ones(x.size(0), 1)], dim=1)
        return torch.tanh(v @ self.W.T)
