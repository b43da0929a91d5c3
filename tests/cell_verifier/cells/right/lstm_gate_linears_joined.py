import torch
from torch import nn


class MyLSTM(nn.Module):
    """A cell: one nn.Linear per gate on [x, h]."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.forget_gate = nn.Linear(input_size + hidden_size, hidden_size)
        self.input_gate = nn.Linear(input_size + hidden_size, hidden_size)
        self.cell_gate = nn.Linear(input_size + hidden_size, hidden_size)
        self.output_gate = nn.Linear(input_size + hidden_size, hidden_size)

    def forward(self, x, h, c):
        combined = torch.cat((x, h), dim=1)
        f = torch.sigmoid(self.forget_gate(combined))
        i = torch.sigmoid(self.input_gate(combined))
        c_tilde = torch.tanh(self.cell_gate(combined))
        c = f * c + i * c_tilde
        o = torch.sigmoid(self.output_gate(combined))
        h = o * torch.tanh(c)
        return h, c
