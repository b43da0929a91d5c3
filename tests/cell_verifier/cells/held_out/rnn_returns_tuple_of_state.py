import torch
from torch import nn


class MyRNN(nn.Module):
    """A cell whose state is a one-tuple; the output comes first."""

    def __init__(self, inputs, units):
        super().__init__()
        self.U = nn.Parameter(torch.randn(inputs, units))
        self.W = nn.Parameter(torch.randn(units, units))
        self.b = nn.Parameter(torch.randn(units))

    def forward(self, x, state):
        (h,) = state
        h = torch.tanh(x.mm(self.U) + h.mm(self.W) + self.b)
        return h, (h,)
