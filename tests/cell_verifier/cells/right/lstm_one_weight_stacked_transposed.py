import torch
from torch import nn


class MyLSTM(nn.Module):
    """A cell as in TensorFlow's kernels: one (I + H, 4H) matrix, one bias; JIT annotations."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(input_size + hidden_size, 4 * hidden_size))
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        nn.init.xavier_uniform_(self.kernel)

    def forward(
        self, x: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        h, c = state
        gates = torch.addmm(self.bias, torch.cat([x, h], 1), self.kernel)
        i, f, j, o = torch.split(gates, gates.shape[1] // 4, dim=1)
        new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(j)
        new_h = torch.sigmoid(o) * torch.tanh(new_c)
        return new_h, (new_h, new_c)
