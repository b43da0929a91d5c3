"""The two gates of a GRU.

An RNN replaces all of h at every step. A gated recurrent unit (GRU) decides for each unit how much
of h it keeps and how much it uses. A gate is a value between 0 and 1 for each unit, so it is the
sigmoid σ of a sum like that of the RNN, with weights of its own:

    r = σ(W_ir x + b_ir + W_hr h + b_hr)      reset: how much of h the candidate sees
    z = σ(W_iz x + b_iz + W_hz h + b_hz)      update: how much of h is kept

Shapes: x (B, I); h (B, H); each w_i (H, I); each w_h (H, H); each b (H,); r and z (B, H). The
weights of a gate are a tuple (w_i, w_h, b_i, b_h).

Write the body of ``gru_gates``.

Source: K. Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (2014),
arXiv:1406.1078.
"""

import torch
from torch import Tensor

Weights = tuple[Tensor, Tensor, Tensor, Tensor]


def gru_gates(
    x: Tensor, h: Tensor, reset_weights: Weights, update_weights: Weights
) -> tuple[Tensor, Tensor]:
    """Return r and z, both (B, H)."""
    w_ir, w_hr, b_ir, b_hr = reset_weights
    w_iz, w_hz, b_iz, b_hz = update_weights
    # begin solution: compute r and z; return r, z
    r = torch.sigmoid(x @ w_ir.T + b_ir + h @ w_hr.T + b_hr)  # r = σ(W_ir x + b_ir + W_hr h + b_hr)
    z = torch.sigmoid(x @ w_iz.T + b_iz + h @ w_hz.T + b_hz)  # z = σ(W_iz x + b_iz + W_hz h + b_hz)
    return r, z  # r, z
    # end solution
