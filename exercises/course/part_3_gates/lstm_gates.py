"""The gates of an LSTM, one by one.

The long short-term memory (LSTM) has three gates, and a candidate that is computed like a gate but
with tanh, because it may be negative:

    i = σ(W_ii x + b_ii + W_hi h + b_hi)         input: how much of g is written to the memory
    f = σ(W_if x + b_if + W_hf h + b_hf)         forget: how much of the memory is kept
    g = tanh(W_ig x + b_ig + W_hg h + b_hg)      candidate
    o = σ(W_io x + b_io + W_ho h + b_ho)         output: how much of the memory is shown

Shapes: x (B, I); h (B, H); i, f, g and o (B, H). The weights of a gate are a tuple (w_i, w_h, b_i,
b_h); ``affine`` computes the sum in the brackets.

Write the body of ``lstm_gates``; ``affine`` is given.

Source: S. Hochreiter and J. Schmidhuber, Long Short-Term Memory (1997); the forget gate is from F.
Gers et al., Learning to Forget (2000).
"""

import torch
from torch import Tensor

Weights = tuple[Tensor, Tensor, Tensor, Tensor]


def affine(x: Tensor, h: Tensor, weights: Weights) -> Tensor:
    """Compute W_i x + b_i + W_h h + b_h, (B, H)."""
    w_i, w_h, b_i, b_h = weights
    return x @ w_i.T + b_i + h @ w_h.T + b_h


def lstm_gates(
    x: Tensor,
    h: Tensor,
    input_weights: Weights,
    forget_weights: Weights,
    candidate_weights: Weights,
    output_weights: Weights,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return i, f, g and o, each (B, H)."""
    # begin solution: compute the three gates and the candidate; return i, f, g, o
    i = torch.sigmoid(affine(x, h, input_weights))  # i = σ(W_ii x + b_ii + W_hi h + b_hi)
    f = torch.sigmoid(affine(x, h, forget_weights))  # f = σ(W_if x + b_if + W_hf h + b_hf)
    g = torch.tanh(affine(x, h, candidate_weights))  # g = tanh(W_ig x + b_ig + W_hg h + b_hg)
    o = torch.sigmoid(affine(x, h, output_weights))  # o = σ(W_io x + b_io + W_ho h + b_ho)
    return i, f, g, o  # i, f, g, o
    # end solution
