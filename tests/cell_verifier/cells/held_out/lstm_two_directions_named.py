import torch
from torch import nn


class MyLSTM(nn.Module):
    """A layer with fwd and bwd submodules, no state taken, both directions joined."""

    def __init__(self, input_size, hidden_size, bidirectional=False):
        super().__init__()
        self.fwd = nn.LSTMCell(input_size, hidden_size)
        if bidirectional:
            self.bwd = nn.LSTMCell(input_size, hidden_size)
        self.bidirectional = bidirectional

    def run(self, cell, steps):
        h = c = steps[0].new_zeros(steps[0].size(0), cell.hidden_size)
        hs = []
        for x in steps:
            h, c = cell(x, (h, c))
            hs.append(h)
        return hs, h, c

    def forward(self, x):
        steps = list(x)
        hs, h, c = self.run(self.fwd, steps)
        if not self.bidirectional:
            return torch.stack(hs), (h[None], c[None])
        back, hb, cb = self.run(self.bwd, steps[::-1])
        out = torch.cat([torch.stack(hs), torch.stack(back[::-1])], dim=-1)
        return out, (torch.stack([h, hb]), torch.stack([c, cb]))
