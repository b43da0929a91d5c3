import torch
from torch import nn


class MyLSTM(nn.Module):
    """A cell: a ParameterList for each kind of weight, a method called once a gate."""

    INPUT, FORGET, CELL, OUTPUT = range(4)

    def __init__(self, d, k):
        super().__init__()
        self.U = nn.ParameterList([nn.Parameter(torch.randn(k, d)) for _ in range(4)])
        self.V = nn.ParameterList([nn.Parameter(torch.randn(k, k)) for _ in range(4)])
        self.b = nn.ParameterList([nn.Parameter(torch.zeros(k)) for _ in range(4)])

    def net(self, gate, x, h):
        from_x = x @ self.U[gate].t()
        from_h = h @ self.V[gate].t()
        return from_x + from_h + self.b[gate]

    def forward(self, x, state):
        h_old, c_old = state
        gate_in = torch.sigmoid(self.net(self.INPUT, x, h_old))
        gate_forget = torch.sigmoid(self.net(self.FORGET, x, h_old))
        proposal = torch.tanh(self.net(self.CELL, x, h_old))
        gate_out = torch.sigmoid(self.net(self.OUTPUT, x, h_old))
        c_new = (
            gate_forget * c_old
            + gate_in * proposal
        )
        h_new = (
            gate_out
            * torch.tanh(c_new)
        )
        return h_new, c_new
