import torch
from torch import nn


class MyLSTM(nn.Module):
    """A cell that keeps one column per sample inside, as in the equations on paper."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        shapes = {"W": (hidden_size, input_size), "U": (hidden_size, hidden_size), "b": (hidden_size, 1)}
        for gate in "ifco":
            for letter, shape in shapes.items():
                setattr(self, f"{letter}_{gate}", nn.Parameter(torch.randn(shape) * 0.1))

    def forward(self, x_t, h_prev, c_prev):
        x, h, c = x_t.T, h_prev.T, c_prev.T
        i_t = torch.sigmoid(self.W_i @ x + self.U_i @ h + self.b_i)
        f_t = torch.sigmoid(self.W_f @ x + self.U_f @ h + self.b_f)
        o_t = torch.sigmoid(self.W_o @ x + self.U_o @ h + self.b_o)
        c_tilde = torch.tanh(self.W_c @ x + self.U_c @ h + self.b_c)
        c_t = f_t * c + i_t * c_tilde
        h_t = o_t * torch.tanh(c_t)
        return h_t.T, c_t.T
