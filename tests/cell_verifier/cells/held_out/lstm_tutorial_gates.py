import math

import torch
from torch import nn


class MyLSTM(nn.Module):
    """A batch-first layer; states (1, B, H) by name h0, c0; two separate biases per gate."""

    def __init__(self, input_dim, hidden_dim):
        super().__init__()
        self.hidden_dim = hidden_dim
        for g in ("i", "f", "g", "o"):
            setattr(self, f"w_i{g}", nn.Parameter(torch.Tensor(hidden_dim, input_dim)))
            setattr(self, f"b_i{g}", nn.Parameter(torch.Tensor(hidden_dim)))
            setattr(self, f"w_h{g}", nn.Parameter(torch.Tensor(hidden_dim, hidden_dim)))
            setattr(self, f"b_h{g}", nn.Parameter(torch.Tensor(hidden_dim)))
        bound = 1 / math.sqrt(hidden_dim)
        for p in self.parameters():
            nn.init.uniform_(p, -bound, bound)

    def gate(self, k, x, h):
        y = nn.functional.linear(x, getattr(self, f"w_i{k}"), getattr(self, f"b_i{k}"))
        return y + nn.functional.linear(h, getattr(self, f"w_h{k}"), getattr(self, f"b_h{k}"))

    def forward(self, x, h0=None, c0=None):
        if h0 is None:
            h0 = torch.zeros(1, x.size(0), self.hidden_dim)
            c0 = torch.zeros(1, x.size(0), self.hidden_dim)
        h, c = h0.squeeze(0), c0.squeeze(0)
        seq = []
        for t in range(x.size(1)):
            i = torch.sigmoid(self.gate("i", x[:, t], h))
            f = torch.sigmoid(self.gate("f", x[:, t], h))
            g = torch.tanh(self.gate("g", x[:, t], h))
            o = torch.sigmoid(self.gate("o", x[:, t], h))
            c = f * c + i * g
            h = o * torch.tanh(c)
            seq.append(h)
        return torch.stack(seq, dim=1), h.unsqueeze(0), c.unsqueeze(0)
