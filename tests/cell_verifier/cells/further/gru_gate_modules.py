import torch
from torch import nn


class Gate(nn.Module):
    def __init__(self, input_size, hidden_size, activation):
        super().__init__()
        self.from_x = nn.Linear(input_size, hidden_size)
        self.from_h = nn.Linear(hidden_size, hidden_size)
        self.activation = activation

    def forward(self, x, h, mask=None):
        recurrent = self.from_h(h)
        if mask is not None:
            recurrent = mask * recurrent
        return self.activation(self.from_x(x) + recurrent)


class MyGRU(nn.Module):
    """A cell of three modules of the same class."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.reset = Gate(input_size, hidden_size, torch.sigmoid)
        self.update = Gate(input_size, hidden_size, torch.sigmoid)
        self.candidate = Gate(input_size, hidden_size, torch.tanh)

    def forward(self, inputs, hidden):
        r = self.reset(inputs, hidden)
        u = self.update(inputs, hidden)
        proposal = self.candidate(inputs, hidden, r)
        old = u * hidden
        fresh = (1 - u) * proposal
        return old + fresh
