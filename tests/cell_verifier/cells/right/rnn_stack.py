import torch
from torch import nn


class MyRNN(nn.Module):
    """A multi-layer module, weights in parameter lists; states (L*D, B, H)."""

    def __init__(self, input_size, hidden_size, num_layers=1, bidirectional=False, dropout=0.0):
        super().__init__()
        self.n, self.d = num_layers, 2 if bidirectional else 1
        self.dropout = dropout
        sizes = [input_size] + [self.d * hidden_size] * (num_layers - 1)

        def make(*shape):
            return nn.Parameter(0.3 * torch.randn(*shape))

        self.w = nn.ParameterList(make(s, hidden_size) for s in sizes for _ in range(self.d))
        self.u = nn.ParameterList(make(hidden_size, hidden_size) for _ in range(self.n * self.d))
        self.b = nn.ParameterList(make(hidden_size) for _ in range(self.n * self.d))

    def forward(self, x, h0=None):
        if h0 is None:
            h0 = x.new_zeros(self.n * self.d, x.size(1), self.u[0].size(0))
        last = [None] * (self.n * self.d)
        source = x
        for layer in range(self.n):
            columns = []
            for d in range(self.d):
                k = layer * self.d + d
                h, ys = h0[k], []
                ordered = source.flip(0) if d else source
                for x_t in ordered:
                    h = torch.tanh(x_t @ self.w[k] + h @ self.u[k] + self.b[k])
                    ys.append(h)
                y = torch.stack(ys)
                y = y.flip(0) if d else y
                columns.append(y)
                last[k] = h
            source = torch.cat(columns, -1)
            if layer < self.n - 1:
                source = nn.functional.dropout(source, self.dropout, self.training)
        return source, torch.stack(last)
