import torch
from torch import nn


class MyLSTM(nn.Module):
    """A batch-first layer: the input projection is a Conv1d of kernel size 1."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.project = nn.Conv1d(input_size, 4 * hidden_size, kernel_size=1)
        self.recur = nn.Linear(hidden_size, 4 * hidden_size, bias=False)

    def forward(self, x):
        a = self.project(x.transpose(1, 2)).transpose(1, 2)
        h = c = x.new_zeros(x.size(0), self.recur.in_features)
        hs = []
        for t in range(x.size(1)):
            i, f, g, o = (a[:, t] + self.recur(h)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            hs.append(h)
        return torch.stack(hs, 1), (h, c)
