import torch
from torch import nn


class MyLSTM(nn.Module):
    """A cell: nn.ModuleDict of gates for x and for h; returns an output and the state."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        names = ("forget", "input", "output", "candidate")
        self.from_x = nn.ModuleDict({n: nn.Linear(input_size, hidden_size) for n in names})
        self.from_h = nn.ModuleDict(
            {n: nn.Linear(hidden_size, hidden_size, bias=False) for n in names}
        )

    def gate(self, name, x, h):
        return self.from_x[name](x) + self.from_h[name](h)

    def forward(self, x, state):
        h, c = state
        keep = torch.sigmoid(self.gate("forget", x, h))
        write = torch.sigmoid(self.gate("input", x, h))
        expose = torch.sigmoid(self.gate("output", x, h))
        new = torch.tanh(self.gate("candidate", x, h))
        c = keep * c + write * new
        h = expose * torch.tanh(c)
        return h, (h, c)
