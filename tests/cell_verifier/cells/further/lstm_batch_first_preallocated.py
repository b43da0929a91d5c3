import torch
from torch import nn


class MyLSTM(nn.Module):
    """A batch-first layer with a preallocated output tensor."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.proj = nn.Linear(input_size, 4 * hidden_size)
        self.rec = nn.Linear(hidden_size, 4 * hidden_size, bias=False)

    def forward(self, batch, init=None):
        n, length, _ = batch.shape
        if init is None:
            zeros = batch.new_zeros(n, self.hidden_size)
            init = zeros, zeros
        h, c = init
        out = batch.new_empty(n, length, self.hidden_size)
        for step in range(length):
            a = self.proj(batch[:, step])
            a = a + self.rec(h)
            i, f, g, o = torch.split(a, self.hidden_size, dim=1)
            i = i.sigmoid()
            f = f.sigmoid()
            g = g.tanh()
            o = o.sigmoid()
            c = torch.addcmul(f * c, i, g)
            h = o * c.tanh()
            out[:, step] = h
        return out, (h, c)
