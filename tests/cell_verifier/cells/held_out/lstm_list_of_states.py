import torch
from torch import nn


class MyLSTM(nn.Module):
    """Several layers of torch.nn's cell; the state is a list of (h, c), one per layer."""

    def __init__(self, input_size, hidden_size, num_layers=1):
        super().__init__()
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        self.layers = nn.ModuleList(nn.LSTMCell(s, hidden_size) for s in sizes)

    def forward(self, x, states=None):
        if states is None:
            zeros = x.new_zeros(x.size(1), self.layers[0].hidden_size)
            states = [(zeros, zeros) for _ in self.layers]
        states = list(states)
        ys = []
        for x_t in x:
            for k, cell in enumerate(self.layers):
                states[k] = cell(x_t, states[k])
                x_t = states[k][0]
            ys.append(x_t)
        return torch.stack(ys), states
