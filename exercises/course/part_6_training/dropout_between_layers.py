"""Dropout between layers only.

Dropout sets random elements to zero during training, so that the network does not rely on a few
units. In a recurrent network it has its place: torch.nn applies it to the outputs of every layer
but the last, which is what one layer hands to the next.

    x -> layer 0 -> dropout -> layer 1 -> dropout -> layer 2 -> output

Dropout on h inside the loop over time would destroy a part of the memory at every step: after 30
steps with p = 0.1, an element has survived with a probability of 4 %. Dropout after the last layer
is the business of what comes next.

Shapes: x (T, B, I); h_0 (K, B, H) for K layers; output (T, B, H). ``drop`` is the dropout: a
function from a tensor to one of the same shape.

Write the lines that are missing in the loop; ``rnn_layer`` is given.

Source: W. Zaremba, I. Sutskever and O. Vinyals, Recurrent Neural Network Regularization (2014),
arXiv:1409.2329.
"""

from collections.abc import Callable

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


def stacked_layers(
    x: Tensor, h_0: Tensor, weights: list[Weights], drop: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the output of the last layer, (T, B, H), and all final states, (K, B, H)."""
    output, finals = x, []
    for k, layer_weights in enumerate(weights):
        # begin solution: apply layer k to output, and dropout where it belongs
        output, h = rnn_layer(output, h_0[k], *layer_weights)  # output of layer k-1, h_0[k]
        if k < len(weights) - 1:  # for every layer but the last
            output = drop(output)  # dropout on what the next layer reads
        # end solution
        finals.append(h)
    return output, torch.stack(finals)
