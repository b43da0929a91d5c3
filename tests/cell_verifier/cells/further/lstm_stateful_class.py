from typing import NamedTuple

import torch
from torch import nn


class State(NamedTuple):
    hidden: torch.Tensor
    cell: torch.Tensor


class MyLSTM(nn.Module):
    """A batch-first layer: a NamedTuple of states, hstack, the gates as attributes of a step."""

    def __init__(self, features, units):
        super().__init__()
        self.units = units
        self.ifo = nn.Linear(features + units, 3 * units)
        self.g = nn.Linear(features + units, units)

    def step(self, x, state):
        joined = torch.hstack((x, state.hidden))
        i, f, o = self.ifo(joined).sigmoid().tensor_split(3, dim=1)
        candidate = self.g(joined).tanh()
        cell = f * state.cell + i * candidate
        return State(o * cell.tanh(), cell)

    def forward(self, x):
        zero = torch.zeros(x.shape[0], self.units, dtype=x.dtype)
        state, outputs = State(zero, zero), []
        for t in range(x.shape[1]):
            state = self.step(x[:, t], state)
            outputs.append(state.hidden)
        return torch.stack(outputs, dim=1), state
