import torch
import torch.nn.functional as F
from torch import nn


class MyLSTM(nn.Module):
    """A cell: F.linear on torch.nn's layout, slices, operations in place."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.H = hidden_size
        self.Wi = nn.Parameter(torch.randn(4 * hidden_size, input_size) * 0.1)
        self.Wr = nn.Parameter(torch.randn(4 * hidden_size, hidden_size) * 0.1)
        self.bi = nn.Parameter(torch.zeros(4 * hidden_size))
        self.br = nn.Parameter(torch.zeros(4 * hidden_size))

    def forward(self, x, hc):
        ht, ct = hc
        H = self.H
        acts = F.linear(x, self.Wi, self.bi)
        acts += F.linear(ht, self.Wr, self.br)
        it = torch.sigmoid(acts[:, :H])
        ft = torch.sigmoid(acts[:, H:2 * H])
        gt = torch.tanh(acts[:, 2 * H:3 * H])
        ot = torch.sigmoid(acts[:, 3 * H:])
        ct = ct * ft
        ct += it * gt
        squashed = ct.tanh()
        ht = squashed.mul(ot)
        return ht, ct
