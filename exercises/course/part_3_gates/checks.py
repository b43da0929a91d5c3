"""The checks of part 3."""

from typing import Any

from torch import Generator, Tensor

from exercises.checking import Attempt, check_function, normal
from exercises.checking.cells import check_cell

B, I, H = 3, 5, 4


def _of_one_gate(generator: Generator) -> tuple[Tensor, ...]:
    return tuple(normal(generator, *size) for size in [(H, I), (H, H), (H,), (H,)])


def gru_gates(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Any, ...]:
        weights = [_of_one_gate(generator) for _ in range(2)]
        return normal(generator, B, I), normal(generator, B, H), *weights

    check_function(attempt, "gru_gates", draw)


def gru_candidate(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Any, ...]:
        r, z = normal(generator, B, H).sigmoid(), normal(generator, B, H).sigmoid()
        x, h = normal(generator, B, I), normal(generator, B, H)
        return x, h, r, z, _of_one_gate(generator)

    check_function(attempt, "gru_candidate", draw)


def lstm_gates(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Any, ...]:
        weights = [_of_one_gate(generator) for _ in range(4)]
        return normal(generator, B, I), normal(generator, B, H), *weights

    check_function(attempt, "lstm_gates", draw)


def lstm_memory(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Tensor, ...]:
        i, f, o = (normal(generator, B, H).sigmoid() for _ in range(3))
        return normal(generator, B, H), i, f, normal(generator, B, H).tanh(), o

    check_function(attempt, "lstm_memory", draw)


def lstm_step(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Tensor, ...]:
        sizes = [(B, I), (B, H), (B, H), (4 * H, I), (4 * H, H), (4 * H,), (4 * H,)]
        return tuple(normal(generator, *size) for size in sizes)

    check_function(attempt, "lstm_step", draw)


def gate_order(attempt: Attempt) -> None:
    for name, gates in (("lstm_to_torch_order", 4), ("gru_to_torch_order", 3)):
        for shape in ((gates * H, I), (gates * H,)):
            check_function(attempt, name, lambda generator, s=shape: (normal(generator, *s),))  # type: ignore[misc]


def two_biases(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Tensor, ...]:
        return normal(generator, 3 * H), normal(generator, 3 * H)

    check_function(attempt, "merge_biases", draw)


def lstm_cell(attempt: Attempt) -> None:
    check_cell(attempt, "LSTMCell", against="lstm")
