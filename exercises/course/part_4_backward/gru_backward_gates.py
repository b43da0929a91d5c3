"""Backwards through the gates of a GRU.

With s for the recurrent part of the candidate, the forward pass is

    s = W_hn h + b_hn        n = tanh(W_in x + b_in + r ⊙ s)        h' = (1 - z) ⊙ n + z ⊙ h

z multiplies h and n with different signs. r multiplies s, so the gradient of s is not that of a_n:

    dz   = dh' ⊙ (h - n)             da_z = dz ⊙ z ⊙ (1 - z)
    dn   = dh' ⊙ (1 - z)             da_n = dn ⊙ (1 - n²)
    dr   = da_n ⊙ s                  da_r = dr ⊙ r ⊙ (1 - r)
    da_s = da_n ⊙ r

Shapes: all are (B, H).

Write the body of ``gru_backward_gates``.
"""

from torch import Tensor


def gru_backward_gates(
    dh_next: Tensor, h: Tensor, r: Tensor, z: Tensor, n: Tensor, s: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return da_r, da_z, da_n and da_s."""
    # begin solution: work backwards from dh_next; return da_r, da_z, da_n, da_s
    dz = dh_next * (h - n)  # dz = dh' ⊙ (h - n)
    dn = dh_next * (1 - z)  # dn = dh' ⊙ (1 - z)
    da_n = dn * (1 - n**2)  # da_n = dn ⊙ (1 - n²)
    dr = da_n * s  # dr = da_n ⊙ s
    da_s = da_n * r  # da_s = da_n ⊙ r
    da_r = dr * r * (1 - r)  # da_r = dr ⊙ r ⊙ (1 - r)
    da_z = dz * z * (1 - z)  # da_z = dz ⊙ z ⊙ (1 - z)
    return da_r, da_z, da_n, da_s  # da_r, da_z, da_n, da_s
    # end solution
