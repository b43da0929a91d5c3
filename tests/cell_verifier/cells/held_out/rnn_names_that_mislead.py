import torch
from torch import nn


class MyRNN(nn.Module):
    """A cell: torch.nn's names, but transposed matrices."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.weight_ih = nn.Parameter(torch.randn(input_size, hidden_size))
        self.weight_hh = nn.Parameter(torch.randn(hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.randn(hidden_size))

    def forward(self, x, h):
        return torch.tanh(torch.addmm(self.bias_ih, x, self.weight_ih) + h @ self.weight_hh)
