import torch
from torch import nn


class MyGRU(nn.Module):
    """A batch-first layer that returns the last h only."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.wr, self.ur = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size)
        self.wz, self.uz = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size)
        self.wn, self.un = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size)

    def forward(self, sequence):
        h = sequence.new_zeros(sequence.size(0), self.wr.out_features)
        for x in sequence.unbind(1):
            r = torch.sigmoid(self.wr(x) + self.ur(h))
            z = torch.sigmoid(self.wz(x) + self.uz(h))
            n = torch.tanh(self.wn(x) + r * self.un(h))
            h = torch.lerp(n, h, z)
        return h
