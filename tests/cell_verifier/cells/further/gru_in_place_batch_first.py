import torch
from torch import nn


class MyGRU(nn.Module):
    """A batch-first layer: gates joined, in-place operations, a deque of outputs."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.k = hidden_size
        self.gates = nn.Linear(input_size + hidden_size, 2 * hidden_size)
        self.cand_x = nn.Linear(input_size, hidden_size)
        self.cand_h = nn.Linear(hidden_size, hidden_size)

    def forward(self, inputs):
        B, T, _ = inputs.size()
        s = torch.zeros(B, self.k, dtype=inputs.dtype)
        outs = []
        for t in range(T):
            xt = inputs[:, t, :]
            rz = self.gates(torch.cat((xt, s), dim=1)).sigmoid()
            rt, zt = rz[:, :self.k], rz[:, self.k:]
            ht = self.cand_h(s)
            ht = ht * rt
            ht = ht + self.cand_x(xt)
            nt = ht.tanh()
            s = s * zt
            s = s + (1.0 - zt) * nt
            outs.append(s.unsqueeze(1))
        return torch.cat(outs, dim=1), s
