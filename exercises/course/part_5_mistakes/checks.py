"""The checks of part 5: each layer gets random weights, inputs and initial states."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from exercises.checking import Attempt, normal
from exercises.checking.hunts import check_hunt

T, B, I, H = 5, 3, 6, 4


def _of_class(name: str, *returned: str) -> Callable[..., dict[str, Tensor]]:
    """A call of a module's layer, whose weights depend only on torch's seed."""

    def call(module: Any, *arguments: Tensor) -> dict[str, Tensor]:
        layer = getattr(module, name)(I, H).double()
        results = layer(*arguments)
        if not isinstance(results, tuple) or len(results) != len(returned):
            raise TypeError(f"{name} must return {', '.join(returned)}")
        return dict(zip(returned, results, strict=True))

    return call


def _check(attempt: Attempt, name: str, states: int, *returned: str) -> None:
    """Check a time-first layer with the initial states h, or h and c."""

    def draw(generator: Generator, time: int = T) -> tuple[Tensor, ...]:
        return normal(generator, time, B, I), *(normal(generator, B, H) for _ in range(states))

    def draw_one_step(generator: Generator) -> tuple[Tensor, ...]:
        return draw(generator, time=1)

    check_hunt(attempt, _of_class(name, *returned), draw, name, draw_one_step)


def hunt_1_lstm(attempt: Attempt) -> None:
    _check(attempt, "LSTM", 2, "output", "h_n", "c_n")


def hunt_2_gru(attempt: Attempt) -> None:
    _check(attempt, "GRU", 1, "output", "h_n")


def hunt_3_lstm(attempt: Attempt) -> None:
    _check(attempt, "LSTM", 2, "output", "h_n", "c_n")


def hunt_4_rnn(attempt: Attempt) -> None:
    _check(attempt, "RNN", 1, "output", "h_n")


def hunt_5_gru(attempt: Attempt) -> None:
    _check(attempt, "GRU", 1, "output", "h_n")


def hunt_6_lstm(attempt: Attempt) -> None:
    _check(attempt, "LSTM", 2, "output", "h_n", "c_n")


def hunt_7_directions(attempt: Attempt) -> None:
    def call(module: Any, x: Tensor, h_0: Tensor) -> dict[str, Tensor]:
        layer = module.BidirectionalRNN(I, H).double()
        output, h_n = layer(x, h_0)
        if output.shape != (T, B, 2 * H):
            return {"output": output, "h_n": h_n}
        halves = output.split(H, dim=-1)
        names = ("the forward half of output", "the reverse half of output")
        return {**dict(zip(names, halves, strict=True)), "h_n": h_n}

    def draw(generator: Generator) -> tuple[Tensor, ...]:
        return normal(generator, T, B, I), normal(generator, 2, B, H)

    check_hunt(attempt, call, draw, "BidirectionalRNN")


def hunt_8_batch_first(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Tensor, ...]:
        return normal(generator, B, T, I), normal(generator, 1, B, H)

    check_hunt(attempt, _of_class("BatchFirstRNN", "output", "h_n"), draw, "BatchFirstRNN")


def hunt_9_lengths(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Tensor, ...]:
        lengths = torch.randperm(T, generator=generator)[:B] + 1
        return normal(generator, T, B, I), normal(generator, B, H), lengths

    check_hunt(attempt, _of_class("PaddedRNN", "output", "h_n"), draw, "PaddedRNN")


def hunt_10_gradients(attempt: Attempt) -> None:
    _check(attempt, "LSTM", 2, "output", "h_n", "c_n")
