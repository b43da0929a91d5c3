"""Cells of different calling conventions, each right, to be trained by ``train.py``."""

from typing import Any

import torch
from torch import Tensor, nn


class PairOfStates(nn.Module):
    """cell(x, (h, c)) -> h, c"""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.of_x = nn.Linear(input_size, 4 * hidden_size)
        self.of_h = nn.Linear(hidden_size, 4 * hidden_size)

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = (self.of_x(x) + self.of_h(h)).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def forward(self, x: Tensor, state: Any) -> Any:
        return self.step(x, *state)


class SeparateStates(PairOfStates):
    """cell(x, h, c) -> out, (h, c)"""

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> Any:  # type: ignore[override]
        h, c = self.step(x, h, c)
        return h, (h, c)


class JoinedState(PairOfStates):
    """cell(x, [h, c] side by side) -> the same"""

    def forward(self, x: Tensor, state: Tensor) -> Any:
        return torch.cat(self.step(x, *state.chunk(2, dim=-1)), dim=-1)


class DictionaryOfStates(PairOfStates):
    """cell(x, (h, c)) -> {"h": h, "c": c}"""

    def forward(self, x: Tensor, state: Any) -> Any:
        return dict(zip("hc", self.step(x, *state), strict=True))


class BatchFirstLayer(PairOfStates):
    """layer(x (B, T, I), (h, c)) -> outputs, (h, c)"""

    def forward(self, x: Tensor, state: Any = None) -> Any:
        h, c = state or (x.new_zeros(len(x), self.of_h.in_features),) * 2
        outputs = []
        for x_t in x.unbind(1):
            h, c = self.step(x_t, h, c)
            outputs.append(h)
        return torch.stack(outputs, dim=1), (h, c)


class LayerWithoutState(PairOfStates):
    """layer(x (T, B, I)) -> outputs"""

    def forward(self, x: Tensor) -> Any:  # type: ignore[override]
        h = c = x.new_zeros(x.size(1), self.of_h.in_features)
        outputs = []
        for x_t in x:
            h, c = self.step(x_t, h, c)
            outputs.append(h)
        return torch.stack(outputs)


class StateFirst(nn.Module):
    """cell(h, x) -> h, with the sizes in the other order"""

    def __init__(self, nhid: int, n_inp: int) -> None:
        super().__init__()
        self.of_x, self.of_h = nn.Linear(n_inp, nhid), nn.Linear(nhid, nhid)

    def forward(self, h: Tensor, x: Tensor) -> Any:
        return torch.tanh(self.of_x(x) + self.of_h(h))


class KeywordState(StateFirst):
    """cell(x, state=h) -> h"""

    def forward(self, x: Tensor, *, state: Tensor) -> Any:  # type: ignore[override]
        return super().forward(state, x)


class WithHead(nn.Module):
    """cell(x, h) -> log-probabilities, h"""

    def __init__(self, input_size: int, hidden_size: int, num_classes: int) -> None:
        super().__init__()
        self.joined = nn.Linear(input_size + hidden_size, hidden_size)
        self.top = nn.Linear(hidden_size, num_classes)

    def forward(self, x: Tensor, h: Tensor) -> Any:
        h = torch.tanh(self.joined(torch.cat([x, h], dim=1)))
        return torch.log_softmax(self.top(h), dim=1), h


class NotRecurrent(nn.Linear):
    """No recurrence at all."""


class WithoutGradient:
    """Not an nn.Module."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.w, self.u = torch.zeros(input_size, hidden_size), torch.zeros(hidden_size, hidden_size)

    def forward(self, x: Tensor, h: Tensor) -> Any:
        return torch.tanh(x @ self.w + h @ self.u)
