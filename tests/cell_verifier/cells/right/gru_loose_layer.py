# ruff: noqa: N803, N806
import torch
from torch import nn


class MyGRU(nn.Module):
    """A time-first layer: separate weights, one bias for r and z, two for the candidate."""

    def __init__(self, input_size, hidden_size):
        super().__init__()

        def p(*shape):
            return nn.Parameter(torch.randn(*shape) * 0.1)

        self.W_xz, self.W_hz, self.b_z = (
            p(input_size, hidden_size),
            p(hidden_size, hidden_size),
            p(hidden_size),
        )
        self.W_xr, self.W_hr, self.b_r = (
            p(input_size, hidden_size),
            p(hidden_size, hidden_size),
            p(hidden_size),
        )
        self.W_xn, self.W_hn = p(input_size, hidden_size), p(hidden_size, hidden_size)
        self.b_xn, self.b_hn = p(hidden_size), p(hidden_size)

    def forward(self, inputs, H=None):
        if H is None:
            H = torch.zeros((inputs.shape[1], self.b_z.shape[0]), dtype=inputs.dtype)
        outputs = []
        for X in inputs:
            Z = torch.sigmoid(X @ self.W_xz + H @ self.W_hz + self.b_z)
            R = torch.sigmoid(X @ self.W_xr + H @ self.W_hr + self.b_r)
            N = torch.tanh(X @ self.W_xn + self.b_xn + R * (H @ self.W_hn + self.b_hn))
            H = Z * H + (1 - Z) * N
            outputs.append(H)
        return torch.stack(outputs), H
