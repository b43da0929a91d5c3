from typing import NamedTuple

import torch
from torch import nn


class State(NamedTuple):
    hidden: torch.Tensor
    memory: torch.Tensor


class MyLSTM(nn.Module):
    """A cell whose state is a NamedTuple of its own, read by field."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.w = nn.Linear(input_size, 4 * hidden_size)
        self.u = nn.Linear(hidden_size, 4 * hidden_size, bias=False)

    def forward(self, x, state=None):
        if state is None:
            zeros = x.new_zeros(*x.shape[:-1], self.hidden_size)
            state = State(zeros, zeros)
        i, f, g, o = (self.w(x) + self.u(state.hidden)).chunk(4, -1)
        memory = f.sigmoid() * state.memory + i.sigmoid() * g.tanh()
        return State(o.sigmoid() * memory.tanh(), memory)
