import torch
from torch import nn


class OneWay(nn.Module):
    def __init__(self, i, h):
        super().__init__()
        self.Wx, self.Wh = nn.Linear(i, 4 * h), nn.Linear(h, 4 * h, bias=False)

    def forward(self, x, h, c):
        ys = []
        for t in range(x.size(1)):
            i, f, g, o = torch.chunk(self.Wx(x[:, t]) + self.Wh(h), 4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            ys.append(h)
        return torch.stack(ys, 1), h, c


class MyLSTM(nn.Module):
    """Forward layers and backward layers in two ModuleLists, batch-first."""

    def __init__(self, input_size, hidden_size, num_layers=1, bidirectional=False):
        super().__init__()
        self.h, self.n, self.d = hidden_size, num_layers, 1 + bidirectional
        widths = [input_size] + [self.d * hidden_size] * (num_layers - 1)
        self.forwards = nn.ModuleList(OneWay(w, hidden_size) for w in widths)
        if bidirectional:
            self.backwards = nn.ModuleList(OneWay(w, hidden_size) for w in widths)

    def forward(self, x, state=None):
        if state is None:
            z = torch.zeros(self.n * self.d, x.size(0), self.h, dtype=x.dtype)
            state = (z, z)
        h0, c0 = state
        hn, cn = torch.empty_like(h0), torch.empty_like(c0)
        for k in range(self.n):
            j = k * self.d
            y, hn[j], cn[j] = self.forwards[k](x, h0[j], c0[j])
            if self.d == 2:
                r, hn[j + 1], cn[j + 1] = self.backwards[k](x.flip(1), h0[j + 1], c0[j + 1])
                y = torch.cat([y, r.flip(1)], -1)
            x = y
        return x, (hn, cn)
