import torch
from torch import nn


class MyRNN(nn.Module):
    """A batch-first layer with a preallocated output tensor and torch.addmm."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.A = nn.Parameter(torch.randn(input_size, hidden_size) * 0.1)
        self.B = nn.Parameter(torch.randn(hidden_size, hidden_size) * 0.1)
        self.bias = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, xs, s):
        result = []
        for x in xs.unbind(1):
            drive = torch.addmm(self.bias, x, self.A)
            s = torch.tanh(torch.addmm(drive, s, self.B))
            result.append(s)
        return torch.stack(result, 1), s
