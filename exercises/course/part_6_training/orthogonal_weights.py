"""Orthogonal recurrent weights.

The backward pass multiplies by W_hhᵀ at every step. A random matrix makes vectors shorter or
longer. An orthogonal matrix Q keeps their length, because QᵀQ = 1, so it is a good start: what
vanishes then vanishes only because of the activations.

W_hh of a GRU or LSTM is G square matrices in a stack, one for each gate. Each of them multiplies h,
so each of them must be orthogonal. If the whole (G*H, H) matrix is made orthogonal at once, its
blocks are not.

The QR decomposition of a random square matrix A, A = Q R, gives a random orthogonal Q.

Shapes: random (G*H, H), the result too. Use ``torch.linalg.qr``, which returns Q and R.

Write the body of ``orthogonal_weight``.

Source: A. Saxe et al., Exact solutions to the nonlinear dynamics of learning in deep linear neural
networks (2014), arXiv:1312.6120.
"""

import torch
from torch import Tensor


def orthogonal_weight(random: Tensor) -> Tensor:
    """Return a stack of orthogonal matrices, Q of each square block of ``random``; (G*H, H)."""
    gates = random.size(0) // random.size(1)
    orthogonal = []
    # begin solution: take Q of each block; return the stack
    for block in random.chunk(gates):  # the square blocks, (H, H)
        q, _ = torch.linalg.qr(block)  # block = Q R
        orthogonal.append(q)  # Q of this block
    return torch.cat(orthogonal)  # the stack of all Q, (G*H, H)
    # end solution
