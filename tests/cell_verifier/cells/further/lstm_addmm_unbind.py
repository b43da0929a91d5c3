import torch
from torch import Tensor, nn


class MyLSTM(nn.Module):
    """A cell: torch.addmm on loose weights, the gates taken apart with view and unbind."""

    def __init__(self, n_in: int, n_hid: int) -> None:
        super().__init__()
        self.n_hid = n_hid
        self.Wx = nn.Parameter(torch.empty(n_in, 4 * n_hid).uniform_(-0.1, 0.1))
        self.Wh = nn.Parameter(torch.empty(n_hid, 4 * n_hid).uniform_(-0.1, 0.1))
        self.bias = nn.Parameter(torch.zeros(4 * n_hid))

    def forward(self, inp: Tensor, past: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        hid, mem = past
        from_input: Tensor = torch.addmm(self.bias, inp, self.Wx)
        pre: Tensor = torch.addmm(from_input, hid, self.Wh)
        enter, forget, cand, leave = pre.view(-1, 4, self.n_hid).unbind(dim=1)
        kept: Tensor = forget.sigmoid() * mem
        written: Tensor = enter.sigmoid() * cand.tanh()
        mem_new: Tensor = kept + written
        hid_new: Tensor = leave.sigmoid() * mem_new.tanh()
        return hid_new, mem_new
