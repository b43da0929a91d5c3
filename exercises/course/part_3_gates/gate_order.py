"""The order of the gates.

The stacked weights of a layer hold the gates in an order that every library has chosen for itself.
The shapes are the same in every order, so weights that are loaded in the wrong order raise no
error: the network computes something else.

    torch.nn, LSTM      i, f, g, o        torch.nn, GRU      r, z, n
    another library     f, i, o, g        another library    z, r, n

Both functions receive a stacked weight of the other library and return it in torch.nn's order. They
work for matrices (G*H, columns) and for biases (G*H,), because the gates are stacked along
dimension 0 in both.

Write the bodies of ``lstm_to_torch_order`` and ``gru_to_torch_order``.
"""

import torch
from torch import Tensor


def lstm_to_torch_order(weight: Tensor) -> Tensor:
    """Reorder the rows from f, i, o, g to i, f, g, o; (4H, ...)."""
    # begin solution: split the rows into gates, and stack them in torch.nn's order
    f, i, o, g = weight.chunk(4)  # f, i, o, g: the order of the other library, dimension 0
    return torch.cat([i, f, g, o])  # i, f, g, o: torch.nn's order
    # end solution


def gru_to_torch_order(weight: Tensor) -> Tensor:
    """Reorder the rows from z, r, n to r, z, n; (3H, ...)."""
    # begin solution: split the rows into gates, and stack them in torch.nn's order
    z, r, n = weight.chunk(3)  # z, r, n: the order of the other library, dimension 0
    return torch.cat([r, z, n])  # r, z, n: torch.nn's order
    # end solution
