"""Layers on top of each other.

A second layer reads the states of the first layer as if they were its input. Each layer has its own
weights and its own initial state:

    output of layer 0  = layer_0(x, h_0[0])
    output of layer k  = layer_k(output of layer k-1, h_0[k])

The stack returns the output of the last layer only, but the final states of all layers.

Shapes: x (T, B, I); h_0 (K, B, H) for K layers; output (T, B, H); h_n (K, B, H). The weights are a
list with one tuple (w_ih, w_hh, b_ih, b_hh) for each layer; w_ih is (H, I) in layer 0 and (H, H) in
the others.

Write the body of ``stacked_layers``; ``rnn_layer`` is given.
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


def stacked_layers(x: Tensor, h_0: Tensor, weights: list[Weights]) -> tuple[Tensor, Tensor]:
    """Return the output of the last layer, (T, B, H), and all final states, (K, B, H)."""
    # begin solution: apply one layer after the other; return output and h_n
    output = x  # the input of layer 0 is x
    finals = []
    for k, layer_weights in enumerate(weights):  # for every layer k
        output, h = rnn_layer(output, h_0[k], *layer_weights)  # output of layer k-1, h_0[k]
        finals.append(h)  # the final state of layer k
    h_n = torch.stack(finals)  # h_n (K, B, H): the final states of all layers
    return output, h_n  # the output of the last layer, h_n
    # end solution
