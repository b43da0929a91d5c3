import torch
from torch import nn


class MyGRU(nn.Module):
    """A batch-first layer: forward(x, lengths=None); outputs after a sample's length are zero."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.cell = nn.GRUCell(input_size, hidden_size)

    def forward(self, x, lengths=None):
        h = x.new_zeros(x.size(0), self.cell.hidden_size)
        out = []
        for t in range(x.size(1)):
            new = self.cell(x[:, t], h)
            if lengths is not None:
                new = torch.where((t < lengths).unsqueeze(1), new, h)
            h = new
            out.append(h)
        return {"outputs": torch.stack(out, 1), "last": h}
