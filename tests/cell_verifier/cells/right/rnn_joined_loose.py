import torch
from torch import nn


class MyRNN(nn.Module):
    """A batch-first layer: separate (H, I) and (H, H) weights, two biases."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.Wx = nn.Parameter(torch.randn(hidden_size, input_size))
        self.Wh = nn.Parameter(torch.randn(hidden_size, hidden_size))
        self.bx = nn.Parameter(torch.randn(hidden_size))
        self.bh = nn.Parameter(torch.randn(hidden_size))

    def forward(self, x, h0=None):
        h = x.new_zeros(x.size(0), self.bx.numel()) if h0 is None else h0
        hs = []
        for t in range(x.size(1)):
            h = torch.tanh(x[:, t] @ self.Wx.T + self.bx + h @ self.Wh.T + self.bh)
            hs.append(h)
        return torch.stack(hs, 1), h
