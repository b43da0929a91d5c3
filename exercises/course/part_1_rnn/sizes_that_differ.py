"""Inputs for a test that can fail.

A usual test of a recurrent layer runs it and a right layer on the same inputs, and compares shapes
and values. Whether it finds a mistake depends on the inputs. Some inputs hide mistakes:

- T = B: a layer that exchanges the time and the batch axis returns the right shapes;
- I = H: a layer that exchanges W_ih and W_hh runs;
- T = 1: a layer that forgets its state at every step has not yet forgotten anything;
- B = 1: a layer that mixes the samples of a batch has nothing to mix;
- h_0 = 0: a layer that ignores h_0 is right, and W_hh has no effect on the first step.

Shapes: x (T, B, I); h_0 (B, H).

Write the body of ``draw_inputs``: choose T, B, I and H, at most 9 each, and draw x and h_0, so that
none of these mistakes is hidden.
"""

import torch
from torch import Tensor


def draw_inputs() -> tuple[Tensor, Tensor]:
    """Return x (T, B, I) and h_0 (B, H)."""
    # begin solution: choose the four sizes, and draw x and h_0; return x, h_0
    time, batch, input_size, hidden_size = 5, 3, 4, 2
    x = torch.randn(time, batch, input_size)
    h_0 = torch.randn(batch, hidden_size)
    return x, h_0
    # end solution
