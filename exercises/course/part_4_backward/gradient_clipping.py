"""Gradient clipping.

Where the product of many Jacobians makes vectors longer, the gradient explodes: one batch then
destroys what thousands have learned. Clipping bounds the length of the whole gradient, and keeps
its direction:

    norm  = sqrt( Σ of the squares of all elements of all gradients )
    scale = min(1, max_norm / norm)
    every gradient is multiplied by scale

One norm is computed for all parameters together. With one norm for each parameter, the direction
would change. A gradient that is shorter than max_norm stays unchanged.

Shapes: ``gradients`` is a list of tensors of any shapes; the result is a list of the same shapes.

Write the body of ``clip_gradients``, without ``torch.nn.utils.clip_grad_norm_``.

Source: R. Pascanu, T. Mikolov and Y. Bengio, On the difficulty of training recurrent neural
networks (2013).
"""

import torch
from torch import Tensor


def clip_gradients(gradients: list[Tensor], max_norm: float) -> list[Tensor]:
    """Return the gradients, scaled so that their common norm is at most ``max_norm``."""
    # begin solution: compute the norm and the scale; return the scaled gradients
    squares = [(gradient**2).sum() for gradient in gradients]  # Σ of the squares of each gradient
    norm = torch.sqrt(torch.stack(squares).sum())  # norm = sqrt(Σ of all squares)
    scale = torch.clamp(max_norm / norm, max=1.0)  # scale = min(1, max_norm / norm)
    return [scale * gradient for gradient in gradients]  # every gradient times scale
    # end solution
