import math

import torch
from torch import nn


class MyLSTM(nn.Module):
    """A batch-first layer from the textbook: separate weights per gate, x @ W + h @ U + b."""

    def __init__(self, input_sz, hidden_sz):
        super().__init__()
        self.hidden_size = hidden_sz
        self.U_i = nn.Parameter(torch.empty(input_sz, hidden_sz))
        self.V_i = nn.Parameter(torch.empty(hidden_sz, hidden_sz))
        self.b_i = nn.Parameter(torch.empty(hidden_sz))
        self.U_f = nn.Parameter(torch.empty(input_sz, hidden_sz))
        self.V_f = nn.Parameter(torch.empty(hidden_sz, hidden_sz))
        self.b_f = nn.Parameter(torch.empty(hidden_sz))
        self.U_c = nn.Parameter(torch.empty(input_sz, hidden_sz))
        self.V_c = nn.Parameter(torch.empty(hidden_sz, hidden_sz))
        self.b_c = nn.Parameter(torch.empty(hidden_sz))
        self.U_o = nn.Parameter(torch.empty(input_sz, hidden_sz))
        self.V_o = nn.Parameter(torch.empty(hidden_sz, hidden_sz))
        self.b_o = nn.Parameter(torch.empty(hidden_sz))
        for weight in self.parameters():
            weight.data.uniform_(-1 / math.sqrt(hidden_sz), 1 / math.sqrt(hidden_sz))

    def forward(self, x, init_states=None):
        bs, seq_sz, _ = x.size()
        hidden_seq = []
        if init_states is None:
            h_t = torch.zeros(bs, self.hidden_size)
            c_t = torch.zeros(bs, self.hidden_size)
        else:
            h_t, c_t = init_states
        for t in range(seq_sz):
            x_t = x[:, t, :]
            i_t = torch.sigmoid(x_t @ self.U_i + h_t @ self.V_i + self.b_i)
            f_t = torch.sigmoid(x_t @ self.U_f + h_t @ self.V_f + self.b_f)
            g_t = torch.tanh(x_t @ self.U_c + h_t @ self.V_c + self.b_c)
            o_t = torch.sigmoid(x_t @ self.U_o + h_t @ self.V_o + self.b_o)
            c_t = f_t * c_t + i_t * g_t
            h_t = o_t * torch.tanh(c_t)
            hidden_seq.append(h_t.unsqueeze(0))
        hidden_seq = torch.cat(hidden_seq, dim=0)
        hidden_seq = hidden_seq.transpose(0, 1).contiguous()
        return hidden_seq, (h_t, c_t)
