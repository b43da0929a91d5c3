import torch
from torch import nn


class MyLSTM(nn.Module):
    """A batch-first layer; keyword-only initial state, sizes and options by keyword."""

    def __init__(self, input_size, hidden_size, *, bias=True):
        super().__init__()
        self.hidden_size = hidden_size
        self.ih = nn.Linear(input_size, 4 * hidden_size, bias=bias)
        self.hh = nn.Linear(hidden_size, 4 * hidden_size, bias=bias)

    def forward(self, x, *, initial_state=None):
        h, c = initial_state or 2 * (x.new_zeros(x.size(0), self.hidden_size),)
        gates_x = self.ih(x)
        hs = []
        for t in range(x.size(1)):
            i, f, g, o = (gates_x[:, t] + self.hh(h)).chunk(4, -1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            hs.append(h)
        return torch.stack(hs, 1), (h, c)
