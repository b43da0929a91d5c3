import torch
from torch import nn


class MyLSTM(nn.Module):
    """A batch-first layer: one stacked nn.Linear on [h, x]; the state is optional."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.lin = nn.Linear(hidden_size + input_size, 4 * hidden_size)

    def forward(self, x, state=None):
        batch, steps, _ = x.shape
        if state is None:
            h = x.new_zeros(batch, self.hidden_size)
            c = x.new_zeros(batch, self.hidden_size)
        else:
            h, c = state
        outputs = []
        for t in range(steps):
            z = self.lin(torch.cat([h, x[:, t]], dim=-1))
            i, f, g, o = z.chunk(4, dim=-1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs, dim=1), (h, c)
