"""Measure vanishing and exploding gradients.

How much does the last state depend on a state many steps before it? The gradient of the last state
with respect to h_t is a product of T - t Jacobians:

    dh_t = W_hhᵀ diag(1 - h_{t+1}²) dh_{t+1}

If each factor makes the vector shorter, it vanishes; if longer, it explodes. Over T steps a factor
of 0.8 or 1.25 in one step becomes a factor of a thousand in 31 steps.

Measure it: the loss is the sum of all elements of the last state h_T. Compute the norm of its
gradient with respect to every state h_0 ... h_T, and the mean factor of one backward step, from

    norm of dh_0 = factor^T x norm of dh_T

Shapes: x (T, B, I); h_0 (B, H); norms (T+1,); factor: a scalar.

Write the body of ``gradient_norms``. ``rnn_step`` is given, ``torch.autograd.grad`` does the rest.
"""

import torch
from torch import Tensor


def rnn_step(x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor) -> Tensor:
    """Compute the state after one time step, (B, H)."""
    return torch.tanh(x @ w_ih.T + h @ w_hh.T)


def gradient_norms(x: Tensor, h_0: Tensor, w_ih: Tensor, w_hh: Tensor) -> tuple[Tensor, Tensor]:
    """Return the norms of dh_0 ... dh_T, and the mean factor of one backward step."""
    states = [h_0]
    # begin solution: save every state, compute the norms and the factor; return norms, factor
    for x_t in x:  # for every time step
        states.append(rnn_step(x_t, states[-1], w_ih, w_hh))  # h_t = step(x_t, h_{t-1})
    gradients = torch.autograd.grad(states[-1].sum(), states)  # dh_0 ... dh_T of the sum of h_T
    norms = torch.stack([gradient.norm() for gradient in gradients])  # the norm of each dh_t
    factor = (norms[0] / norms[-1]) ** (1 / len(x))  # factor = (norm of dh_0 / norm of dh_T)^(1/T)
    return norms, factor  # the norms, the factor
    # end solution
