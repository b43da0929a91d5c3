"""The candidate and the new state of a GRU.

The candidate n is what the state would become if nothing were kept. The reset gate r decides how
much the candidate depends on h. The update gate z mixes the candidate with the old state:

    n  = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))
    h' = (1 - z) ⊙ n + z ⊙ h

⊙ multiplies element by element. r multiplies the product W_hn h and its bias. The first paper
multiplies h by r before the product, W_hn (r ⊙ h): this is another function. torch.nn and cuDNN
compute the one above, because W_hn h can then be computed together with the products of the gates.

In torch.nn, z = 1 keeps the old state. Some texts exchange z and 1 - z.

Shapes: x (B, I); h, r, z, n and h' (B, H); w_in (H, I); w_hn (H, H); b_in and b_hn (H,).

Write the body of ``gru_candidate``.
"""

import torch
from torch import Tensor


def gru_candidate(
    x: Tensor,
    h: Tensor,
    r: Tensor,
    z: Tensor,
    weights: tuple[Tensor, Tensor, Tensor, Tensor],
) -> Tensor:
    """Return h', (B, H)."""
    w_in, w_hn, b_in, b_hn = weights
    # begin solution: compute n, then h_next; return h_next
    recurrent = r * (h @ w_hn.T + b_hn)  # r ⊙ (W_hn h + b_hn)
    n = torch.tanh(x @ w_in.T + b_in + recurrent)  # n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))
    h_next = (1 - z) * n + z * h  # h' = (1 - z) ⊙ n + z ⊙ h
    return h_next  # h'
    # end solution
