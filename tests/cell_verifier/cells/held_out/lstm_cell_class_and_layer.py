import torch
from torch import nn


class Cell(nn.Module):
    def __init__(self, n_in, n_hidden):
        super().__init__()
        self.i2h = nn.Linear(n_in, n_hidden * 4)
        self.h2h = nn.Linear(n_hidden, n_hidden * 4)

    def forward(self, x, hc):
        h, c = hc
        pre = self.i2h(x) + self.h2h(h)
        n = h.size(1)
        sig = pre[:, : 2 * n].sigmoid()
        g = pre[:, 2 * n : 3 * n].tanh()
        o = pre[:, 3 * n :].sigmoid()
        c = sig[:, n:] * c + sig[:, :n] * g
        return o * c.tanh(), c


class MyLSTM(nn.Module):
    """Layers in a ModuleList, batch-first, states (L, B, H) stacked, dropout between."""

    def __init__(self, input_size, hidden_size, num_layers=1, dropout=0.0):
        super().__init__()
        self.hidden_size = hidden_size
        self.cells = nn.ModuleList()
        for k in range(num_layers):
            self.cells.append(Cell(input_size if k == 0 else hidden_size, hidden_size))
        self.drop = nn.Dropout(dropout)

    def forward(self, x, hc=None):
        b, t, _ = x.shape
        if hc is None:
            h0 = torch.zeros(len(self.cells), b, self.hidden_size).to(x)
            hc = (h0, h0.clone())
        hs, cs = list(hc[0].unbind(0)), list(hc[1].unbind(0))
        out = []
        for step in range(t):
            y = x[:, step]
            for k, cell in enumerate(self.cells):
                if k > 0:
                    y = self.drop(y)
                hs[k], cs[k] = cell(y, (hs[k], cs[k]))
                y = hs[k]
            out.append(y)
        return torch.stack(out, 1), (torch.stack(hs), torch.stack(cs))
