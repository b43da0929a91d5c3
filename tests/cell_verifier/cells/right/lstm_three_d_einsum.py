import torch
from torch import nn


class MyLSTM(nn.Module):
    """A time-first layer: 3-D parameters with a gate axis, einsum; returns (outputs, h, c)."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.kernel = nn.Parameter(0.1 * torch.randn(4, input_size, hidden_size))
        self.recurrent_kernel = nn.Parameter(0.1 * torch.randn(4, hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.zeros(4, hidden_size))

    def forward(self, inputs, h0, c0):
        h, c = h0, c0
        outputs = []
        for x in inputs:
            a = torch.einsum("bi,gij->gbj", x, self.kernel)
            a = a + torch.einsum("bi,gij->gbj", h, self.recurrent_kernel)
            a = a + self.bias[:, None]
            i, f, o = a[0].sigmoid(), a[1].sigmoid(), a[3].sigmoid()
            g = a[2].tanh()
            c = f * c + i * g
            h = o * c.tanh()
            outputs.append(h)
        return torch.stack(outputs), h, c
