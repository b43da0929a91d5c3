import torch
from torch import nn


class MyGRU(nn.Module):
    """A cell: every neuron of a gate's weights under r, z, n in nested modules, separate biases."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.layers = nn.ModuleDict()
        for gate in ("r", "z", "n"):
            self.layers[gate] = nn.ModuleDict(
                {
                    "x": nn.Linear(input_size, hidden_size, bias=False),
                    "h": nn.Linear(hidden_size, hidden_size, bias=False),
                }
            )
        self.bias_x = nn.Parameter(torch.zeros(3, hidden_size))
        self.bias_h = nn.Parameter(torch.zeros(3, hidden_size))

    def forward(self, x, h):
        def part(gate, k):
            m = self.layers[gate]
            return m["x"](x) + self.bias_x[k], m["h"](h) + self.bias_h[k]

        r = torch.sigmoid(sum(part("r", 0)))
        z = torch.sigmoid(sum(part("z", 1)))
        nx, nh = part("n", 2)
        n = torch.tanh(nx + r * nh)
        return (1 - z) * n + z * h
