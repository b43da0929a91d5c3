"""The right final state.

To classify a sequence, the last state of each direction is needed: the one that has read the whole
sequence. The outputs of a bidirectional layer, padded to T steps, contain both, but not at the same
step:

    forward direction   reads x_1 ... x_n   complete at the last real step, index n - 1
    reverse direction   reads x_n ... x_1   complete at the first step, index 0

n is the length of the sequence. ``output[-1]`` is a common mistake: for a sequence shorter than T
it is padding, and for the reverse direction it is the state after one step of reading.

Shapes: output (T, B, 2H), forward first; lengths (B,), integers from 1 to T; result (B, 2H).

Write the body of ``final_states``.
"""

import torch
from torch import Tensor


def final_states(output: Tensor, lengths: Tensor) -> Tensor:
    """Return the final states of both directions, (B, 2H)."""
    hidden_size = output.size(2) // 2
    # begin solution: select the final state of each direction, and join them
    rows = torch.arange(output.size(1))  # 0 ... B-1: one index for each sequence
    forward = output[lengths - 1, rows, :hidden_size]  # forward: index n - 1, the first H columns
    reverse = output[0, :, hidden_size:]  # reverse: index 0, the last H columns
    return torch.cat([forward, reverse], dim=-1)  # [forward, reverse]: (B, 2H)
    # end solution
