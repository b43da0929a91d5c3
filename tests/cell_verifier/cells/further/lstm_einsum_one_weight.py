import torch
from torch import nn


class MyLSTM(nn.Module):
    """A cell: einsum over one weight of [x, h] with an axis of gates; nested functions."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, hidden_size, input_size + hidden_size) * 0.1)
        self.bias = nn.Parameter(torch.zeros(4, hidden_size))

    def forward(self, token, carry):
        def preactivations(v):
            scores = torch.einsum("kho,bo->kbh", self.weight, v)
            return scores + self.bias[:, None]

        def update(old, keep, put, what):
            retained = keep * old
            added = put * what
            return retained + added

        out, cell = carry
        p = preactivations(torch.cat([token, out], dim=1))
        write, keep, expose = torch.sigmoid(p[0]), torch.sigmoid(p[1]), torch.sigmoid(p[3])
        news = torch.tanh(p[2])
        cell = update(cell, keep, write, news)
        out = expose * torch.tanh(cell)
        return out, cell
