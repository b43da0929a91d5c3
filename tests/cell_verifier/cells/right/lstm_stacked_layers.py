import torch
from torch import nn


class Direction(nn.Module):
    def __init__(self, input_size, hidden_size, reverse):
        super().__init__()
        self.reverse = reverse
        self.w = nn.Linear(input_size, 4 * hidden_size)
        self.u = nn.Linear(hidden_size, 4 * hidden_size)

    def forward(self, xs, h, c):
        order = range(len(xs))
        if self.reverse:
            order = reversed(order)
        hs = []
        for t in order:
            i, f, g, o = (self.w(xs[t]) + self.u(h)).chunk(4, -1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            hs.append(h)
        if self.reverse:
            hs = hs[::-1]
        return torch.stack(hs), h, c


class MyLSTM(nn.Module):
    """A layer with every argument of torch.nn's."""

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
    ):
        super().__init__()
        self.hidden_size, self.num_layers = hidden_size, num_layers
        self.batch_first = batch_first
        self.directions = 2 if bidirectional else 1
        self.drop = nn.Dropout(dropout)
        self.cells = nn.ModuleList()
        for layer in range(num_layers):
            size = input_size if layer == 0 else hidden_size * self.directions
            for d in range(self.directions):
                self.cells.append(Direction(size, hidden_size, reverse=d == 1))

    def forward(self, x, hx=None):
        if self.batch_first:
            x = x.transpose(0, 1)
        batch = x.size(1)
        if hx is None:
            zeros = x.new_zeros(len(self.cells), batch, self.hidden_size)
            hx = (zeros, zeros)
        h0, c0 = hx
        hn, cn = [], []
        out = x
        for layer in range(self.num_layers):
            below, outs = out, []
            for d in range(self.directions):
                k = layer * self.directions + d
                y, h, c = self.cells[k](below, h0[k], c0[k])
                outs.append(y)
                hn.append(h)
                cn.append(c)
            out = torch.cat(outs, dim=-1)
            if layer < self.num_layers - 1:
                out = self.drop(out)
        if self.batch_first:
            out = out.transpose(0, 1)
        return out, (torch.stack(hn), torch.stack(cn))
