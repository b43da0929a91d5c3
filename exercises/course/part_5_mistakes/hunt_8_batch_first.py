"""Find the mistake: a layer for the batch-first layout.

A classifier that reads h_n trains with this layer as well as with a right one. A tagger, which
needs the output of every step, receives outputs of other sequences, although every shape is right
for every batch size and length. With a batch of one sequence the layer is exact.

    x (B, T, I) -> (T, B, I) -> the loop over time -> (T, B, H) -> (B, T, H)

The check compares it with a right layer of the same weights and reports what agrees. Read that
first, and think which statement can have such an effect, before you read the code.

Shapes: x (B, T, I); h_0 (1, B, H); outputs (B, T, H).
"""

from torch import Tensor, nn


class BatchFirstRNN(nn.Module):
    """An RNN layer that reads and returns the batch axis first."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.rnn = nn.RNN(input_size, hidden_size)

    def forward(self, x: Tensor, h_0: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs (B, T, H) and h_n (1, B, H)."""
        # begin solution: one statement is wrong: find it and correct it
        time_first = x.transpose(0, 1)  # x (T, B, I): axes 0 and 1 exchanged
        steps, h_n = self.rnn(time_first, h_0)  # (T, B, H), (1, B, H)
        outputs = steps.transpose(0, 1)  # outputs (B, T, H): axes 0 and 1 exchanged
        return outputs, h_n  # the outputs, h_n
        # given:
        # time_first = x.transpose(0, 1)
        # steps, h_n = self.rnn(time_first, h_0)
        # outputs = steps.reshape(x.size(0), x.size(1), -1)
        # return outputs, h_n
        # end solution
