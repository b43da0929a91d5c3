import torch
from torch import nn


class MyLSTM(nn.Module):
    """A cell: a lambda for each gate, and a dict of gates."""

    def __init__(self, n, m):
        super().__init__()
        self.w = nn.ParameterDict({"w" + k: nn.Parameter(torch.randn(n, m)) for k in "ifgo"})
        self.u = nn.ParameterDict({"u" + k: nn.Parameter(torch.randn(m, m)) for k in "ifgo"})
        self.b = nn.ParameterDict({"b" + k: nn.Parameter(torch.randn(m)) for k in "ifgo"})

    def forward(self, x, s):
        y, m = s
        pre = lambda k: x.mm(self.w["w" + k]) + y.mm(self.u["u" + k]) + self.b["b" + k]
        sig = torch.sigmoid
        gate = {k: sig(pre(k)) for k in "ifo"}
        gate["g"] = torch.tanh(pre("g"))
        m = gate["f"] * m + gate["i"] * gate["g"]
        y = gate["o"] * torch.tanh(m)
        return y, m
