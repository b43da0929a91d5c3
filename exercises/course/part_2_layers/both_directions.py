"""Both directions.

The state at step t of a layer contains x_1 ... x_t. In a bidirectional layer a second layer, with
its own weights, reads the sequence from the end, so that its state at step t contains x_t ... x_T.
The output at step t is both states at step t, one after the other:

    output_t = [h_t of the forward direction, h_t of the reverse direction]

The reverse direction computes its states in the order T ... 1. They must be put back into the order
of the input before they are joined. This does not change its final state: it is the state after it
has read the first element of the sequence, the last that it reads.

Shapes: x (T, B, I); h_0 (2, B, H), forward first; output (T, B, 2H); h_n (2, B, H).

Write the body of ``bidirectional_layer``; ``rnn_layer`` is given.

Source: M. Schuster and K. Paliwal, Bidirectional Recurrent Neural Networks (1997).
"""

import torch
from torch import Tensor

Weights = tuple[Tensor, Tensor, Tensor, Tensor]


def rnn_layer(
    x: Tensor, h_0: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the states of all time steps, (T, B, H), and the last state, (B, H)."""
    outputs, h = [], h_0
    for x_t in x:
        h = torch.tanh(x_t @ w_ih.T + b_ih + h @ w_hh.T + b_hh)
        outputs.append(h)
    return torch.stack(outputs), h


def bidirectional_layer(
    x: Tensor, h_0: Tensor, forward_weights: Weights, reverse_weights: Weights
) -> tuple[Tensor, Tensor]:
    """Return the outputs of both directions, (T, B, 2H), and both final states, (2, B, H)."""
    # begin solution: run both directions and join them; return output and h_n
    forward, h_forward = rnn_layer(x, h_0[0], *forward_weights)  # the forward layer reads x
    x_backwards = x.flip(0)  # x_T ... x_1: dimension 0 is time
    read_backwards, h_reverse = rnn_layer(x_backwards, h_0[1], *reverse_weights)  # from h_0[1]
    reverse = read_backwards.flip(0)  # back in the order of the input
    output = torch.cat([forward, reverse], dim=-1)  # output_t = [forward h_t, reverse h_t]
    h_n = torch.stack([h_forward, h_reverse])  # h_n (2, B, H): forward, reverse
    return output, h_n  # output, h_n
    # end solution
