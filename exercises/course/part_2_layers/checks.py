"""The checks of part 2."""

from typing import Any

import torch
from torch import Generator, Tensor

from exercises.checking import Attempt, check_function, normal

T, B, I, H, LAYERS = 5, 3, 6, 4, 2


def _weights(generator: Generator, input_size: int = I) -> tuple[Tensor, ...]:
    sizes = [(H, input_size), (H, H), (H,), (H,)]
    return tuple(normal(generator, *size) for size in sizes)


def stacked_layers(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Any, ...]:
        weights = [_weights(generator, I if k == 0 else H) for k in range(LAYERS)]
        return normal(generator, T, B, I), normal(generator, LAYERS, B, H), weights

    check_function(attempt, "stacked_layers", draw)


def both_directions(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Any, ...]:
        weights = _weights(generator), _weights(generator)
        return normal(generator, T, B, I), normal(generator, 2, B, H), *weights

    check_function(attempt, "bidirectional_layer", draw)


def batch_first(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Tensor, ...]:
        return normal(generator, B, T, I), normal(generator, 1, B, H), *_weights(generator)

    check_function(attempt, "batch_first_layer", draw)


def packed_sequences(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Any, ...]:
        lengths = sorted(_lengths(generator, 4), reverse=True)
        batch_sizes = [sum(length > t for length in lengths) for t in range(lengths[0])]
        data, h_0 = normal(generator, sum(lengths), I), normal(generator, len(lengths), H)
        return data, batch_sizes, h_0, _weights(generator)

    check_function(attempt, "packed_layer", draw)


def final_state(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Tensor, ...]:
        return normal(generator, 7, B, 2 * H), torch.tensor(_lengths(generator, B))

    check_function(attempt, "final_states", draw)


def _lengths(generator: Generator, count: int) -> list[int]:
    """Different lengths, none of them 7."""
    lengths: list[int] = (torch.randperm(6, generator=generator)[:count] + 1).tolist()
    return lengths
