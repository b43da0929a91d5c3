import torch
from torch import nn


class MyLSTM(nn.Module):
    """A cell: gates in a generator expression, an assignment expression in the return."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.x_layers = nn.ModuleList(nn.Linear(input_size, hidden_size) for _ in range(4))
        self.h_layers = nn.ModuleList(nn.Linear(hidden_size, hidden_size) for _ in range(4))

    def forward(self, x, state):
        h, c = state
        sums = [p(x) + q(h) for p, q in zip(self.x_layers, self.h_layers)]
        i, f, o = (torch.sigmoid(s) for s in (sums[0], sums[1], sums[3]))
        g = torch.tanh(sums[2])
        return o * torch.tanh(new := f * c + i * g), new
