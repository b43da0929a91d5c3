"""Verify your own LSTM cell: first one with a mistake, then the corrected one.

    python -m examples.verify_a_cell

The same check on the command line, with colours and an exit status:

    python -m cell_verifier examples/verify_a_cell.py:WrongLSTMCell --against lstm
"""

import torch
from torch import Tensor, nn

from cell_verifier import verify


class WrongLSTMCell(nn.Module):
    """An LSTM cell as a beginner might write it: it runs and trains, but has one mistake."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.from_x = nn.Linear(input_size, 4 * hidden_size)
        self.from_h = nn.Linear(hidden_size, 4 * hidden_size)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        h, c = state
        # (B, 4*H) -> 4 of (B, H)
        i, f, g, o = (self.from_x(x) + self.from_h(h)).chunk(4, dim=-1)
        i, f, o = torch.sigmoid(i), torch.sigmoid(f), torch.sigmoid(o)
        c = f * c + i * torch.tanh(g)
        return self.hidden(o, c), c

    def hidden(self, o: Tensor, c: Tensor) -> Tensor:
        return o * c  # the mistake: torch.nn.LSTMCell computes o * torch.tanh(c)


class CorrectLSTMCell(WrongLSTMCell):
    """The same cell without the mistake."""

    def hidden(self, o: Tensor, c: Tensor) -> Tensor:
        return o * torch.tanh(c)


def main() -> None:
    """Print the report on both cells."""
    print(verify(WrongLSTMCell, against="lstm"))
    print()
    report = verify(CorrectLSTMCell, against="lstm")
    print(report)
    report.raise_if_different()  # the line for your own test suite: it raises if not equal


if __name__ == "__main__":
    main()
