"""The checks of part 4."""

from typing import Any

import torch
from torch import Generator, Tensor

from exercises.checking import Attempt, check_function, normal

T, B, I, H = 5, 3, 6, 4


def rnn_backward_step(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Tensor, ...]:
        dh_next, x, h = normal(generator, B, H), normal(generator, B, I), normal(generator, B, H)
        w_ih, w_hh = normal(generator, H, I), normal(generator, H, H)
        return dh_next, x, h, torch.tanh(x @ w_ih.T + h @ w_hh.T), w_ih, w_hh

    check_function(attempt, "rnn_backward_step", draw, gradients=False)


def rnn_backward_loop(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Tensor, ...]:
        x, w_ih, w_hh = normal(generator, T, B, I), normal(generator, H, I), normal(generator, H, H)
        states = [normal(generator, B, H)]
        for x_t in x:
            states.append(torch.tanh(x_t @ w_ih.T + states[-1] @ w_hh.T))
        d_output, dh_n = normal(generator, T, B, H), normal(generator, B, H)
        return d_output, dh_n, x, torch.stack(states), w_ih, w_hh

    check_function(attempt, "rnn_backward", draw, gradients=False)


def _gates(generator: Generator, names: str) -> tuple[Tensor, ...]:
    """Random gates, (B, H) each; g and n are candidates."""
    values = (normal(generator, B, H) for _ in names)
    pairs = zip(names, values, strict=True)
    return tuple(torch.tanh(a) if name in "gn" else torch.sigmoid(a) for name, a in pairs)


def lstm_backward_memory(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Any, ...]:
        dh_next, dc_next, c = (normal(generator, B, H) for _ in range(3))
        i, f, g, o = _gates(generator, "ifgo")
        return dh_next, dc_next, c, f * c + i * g, (i, f, g, o)

    check_function(attempt, "lstm_backward_memory", draw, gradients=False)


def lstm_backward_gates(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Any, ...]:
        gradients = tuple(normal(generator, B, H) for _ in range(4))
        x, h = normal(generator, B, I), normal(generator, B, H)
        w_ih, w_hh = normal(generator, 4 * H, I), normal(generator, 4 * H, H)
        return gradients, _gates(generator, "ifgo"), x, h, w_ih, w_hh

    check_function(attempt, "lstm_backward_gates", draw, gradients=False)


def gru_backward_gates(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Tensor, ...]:
        dh_next, h, s = (normal(generator, B, H) for _ in range(3))
        return dh_next, h, *_gates(generator, "rzn"), s

    check_function(attempt, "gru_backward_gates", draw, gradients=False)


def gru_backward_weights(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Any, ...]:
        gates = tuple(normal(generator, B, H) for _ in range(4))
        dh_next, x, h = normal(generator, B, H), normal(generator, B, I), normal(generator, B, H)
        (z,) = _gates(generator, "z")
        w_ih, w_hh = normal(generator, 3 * H, I), normal(generator, 3 * H, H)
        return gates, dh_next, z, x, h, w_ih, w_hh

    check_function(attempt, "gru_backward_weights", draw, gradients=False)


def truncated_bptt(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Any, ...]:
        x, target = normal(generator, 8, B, I), normal(generator, 8, B, H)
        w_ih, w_hh = normal(generator, H, I), normal(generator, H, H)
        return x, target, normal(generator, B, H), w_ih, w_hh, 3

    check_function(attempt, "truncated_loss", draw)


def gradient_clipping(attempt: Attempt) -> None:
    for factor in (0.5, 2.0):  # too long, and short enough

        def draw(generator: Generator, factor: float = factor) -> tuple[Any, ...]:
            gradients = [normal(generator, *size) for size in [(H, I), (H, H), (H,)]]
            norm = float(torch.cat([each.flatten() for each in gradients]).norm())
            return gradients, factor * norm

        check_function(attempt, "clip_gradients", draw, gradients=False)


def vanishing_gradients(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Tensor, ...]:
        x, h_0 = 0.1 * normal(generator, T, B, I), normal(generator, B, H)
        return x, h_0, normal(generator, H, I), normal(generator, H, H)

    check_function(attempt, "gradient_norms", draw)
