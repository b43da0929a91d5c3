import torch
from torch import nn


class MyLSTM(nn.Module):
    """A cell called cell(state, x): nn.ParameterDict, W @ x with column vectors."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.p = nn.ParameterDict()
        for gate in "ifgo":
            self.p["Wx" + gate] = nn.Parameter(torch.randn(hidden_size, input_size))
            self.p["Wh" + gate] = nn.Parameter(torch.randn(hidden_size, hidden_size))
            self.p["b" + gate] = nn.Parameter(torch.zeros(hidden_size, 1))

    def forward(self, state, x):
        h, c = (part.mT for part in state)
        x = x.mT
        a = {k: self.p["Wx" + k] @ x + self.p["Wh" + k] @ h + self.p["b" + k] for k in "ifgo"}
        i, f, o = (torch.sigmoid(a[k]) for k in "ifo")
        g = torch.tanh(a["g"])
        c = f * c + i * g
        h = o * torch.tanh(c)
        return h.mT, c.mT
