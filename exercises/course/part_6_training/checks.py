"""The checks of part 6."""

import math
from typing import Any

import torch
from torch import Generator, Tensor

from exercises.checking import Attempt, Failure, check_function, normal

T, B, I, H, LAYERS = 5, 3, 6, 4, 3


def forget_bias(attempt: Attempt) -> None:
    check_function(attempt, "open_forget_gate", lambda generator: (normal(generator, 4 * H), 1.5))
    check_function(attempt, "share_kept", lambda generator: (normal(generator, H), 5))


def orthogonal_weights(attempt: Attempt) -> None:
    check_function(
        attempt,
        "orthogonal_weight",
        lambda generator: (normal(generator, 3 * H, H),),
        gradients=False,
    )


def dropout_between_layers(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Any, ...]:
        sizes = [I, *(LAYERS - 1) * [H]]
        weights = [
            tuple(normal(generator, *size) for size in [(H, n), (H, H), (H,), (H,)]) for n in sizes
        ]
        mask = (normal(generator, T, B, H) > 0).double()

        def drop(output: Tensor) -> Tensor:
            """Dropout with the same mask at each call; on one state, its first time step."""
            return 2 * output * (mask if output.dim() == 3 else mask[0])

        return normal(generator, T, B, I), normal(generator, LAYERS, B, H), weights, drop

    check_function(attempt, "stacked_layers", draw)


def adding_problem(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Tensor, ...]:
        values = normal(generator, 8, B).sigmoid()
        first = torch.randint(0, 4, (B,), generator=generator)
        return values, first, first + 4

    check_function(attempt, "make_batch", draw)
    module = attempt.module
    errors = {kind: module.train(module.make_layer(kind)) for kind in ("RNN", "LSTM")}
    print(", ".join(f"{kind}: error {error:.3f}" for kind, error in errors.items()))
    if not errors["LSTM"] < 0.05 < 0.12 < errors["RNN"]:
        raise Failure(f"after training, expected an LSTM below 0.05, an RNN above 0.12: {errors}")


def copying_task(attempt: Attempt) -> None:
    def symbols(generator: Generator) -> Tensor:
        return torch.randint(0, 8, (2, B), generator=generator)

    check_function(attempt, "make_tokens", lambda generator: (symbols(generator), 4))
    check_function(
        attempt, "copy_loss", lambda generator: (normal(generator, 8, B, 8), symbols(generator))
    )
    module = attempt.module
    right = {kind: module.train(module.make_layer(kind)) for kind in ("RNN", "LSTM")}
    print(", ".join(f"{kind}: {share:.0%} of the symbols" for kind, share in right.items()))
    if not right["RNN"] < 0.6 < 0.7 < right["LSTM"]:
        raise Failure(f"after training, expected an LSTM above 0.7, an RNN below 0.6: {right}")


def character_model(attempt: Attempt) -> None:
    def draw_tokens(generator: Generator) -> tuple[Any, ...]:
        table = normal(generator, 9, 9)
        tokens = torch.randint(0, 9, (T + 1, B), generator=generator)
        return table.__getitem__, tokens

    check_function(attempt, "next_token_loss", draw_tokens, gradients=False)
    check_function(
        attempt, "next_token_probabilities", lambda generator: (normal(generator, 9), 0.5)
    )
    loss, text = attempt.module.train()
    print(f"loss {loss:.2f}: {text}")
    guessing = math.log(len(set(attempt.solution.TEXT)))
    if loss > guessing / 2:
        raise Failure(f"after training, the loss is {loss:.2f}; guessing has {guessing:.2f}")
