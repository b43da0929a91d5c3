import torch
from torch import nn


class MyLSTM(nn.Module):
    """A cell: the input weights stacked, the recurrent ones one per gate."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_map = nn.Linear(input_size, 4 * hidden_size)
        self.rec_i = nn.Linear(hidden_size, hidden_size, bias=False)
        self.rec_f = nn.Linear(hidden_size, hidden_size, bias=False)
        self.rec_g = nn.Linear(hidden_size, hidden_size, bias=False)
        self.rec_o = nn.Linear(hidden_size, hidden_size, bias=False)

    def forward(self, x, state):
        h, c = state
        xi, xf, xg, xo = self.input_map(x).chunk(4, -1)
        i = torch.sigmoid(xi + self.rec_i(h))
        f = torch.sigmoid(xf + self.rec_f(h))
        g = torch.tanh(xg + self.rec_g(h))
        o = torch.sigmoid(xo + self.rec_o(h))
        c = f * c + i * g
        return o * torch.tanh(c), c
