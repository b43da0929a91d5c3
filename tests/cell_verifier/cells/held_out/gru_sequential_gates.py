import torch
from torch import nn


class MyGRU(nn.Module):
    """A cell: nn.Sequential(nn.Linear, activation) on [h, x] for r and z."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        both = input_size + hidden_size
        self.update = nn.Sequential(nn.Linear(both, hidden_size), nn.Sigmoid())
        self.reset = nn.Sequential(nn.Linear(both, hidden_size), nn.Sigmoid())
        self.new_from_x = nn.Linear(input_size, hidden_size, bias=False)
        self.new_from_h = nn.Linear(hidden_size, hidden_size)
        self.bias = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, h, x):
        hx = torch.cat([h, x], 1)
        z, r = self.update(hx), self.reset(hx)
        n = torch.tanh(self.new_from_x(x) + self.bias + r * self.new_from_h(h))
        return h + (1 - z) * (n - h)
