"""The checks of part 1."""

import torch
from torch import Generator, Tensor

from exercises.checking import Attempt, Failure, check_function, normal
from exercises.checking.comparison import same_values
from exercises.checking.probes import ProbedFile, Recording, Site

T, B, I, H = 5, 3, 6, 4


def shapes_of_a_layer(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[int, ...]:
        return tuple((torch.randperm(20, generator=generator)[:5] + 2).tolist())

    check_function(attempt, "shapes_of_a_layer", draw)


def _weights(generator: Generator) -> tuple[Tensor, ...]:
    return tuple(normal(generator, *size) for size in [(H, I), (H, H), (H,), (H,)])


def rnn_step(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Tensor, ...]:
        return normal(generator, B, I), normal(generator, B, H), *_weights(generator)

    check_function(attempt, "rnn_step", draw)


def loop_over_time(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Tensor, ...]:
        return normal(generator, T, B, I), normal(generator, B, H), *_weights(generator)

    check_function(attempt, "rnn_layer", draw)


MAX_SIZE = 9


def sizes_that_differ(attempt: Attempt) -> None:
    """Find the wrong layers that the learner's inputs do not show, and the line to change."""
    attempt.get("draw_inputs")
    probed = ProbedFile(attempt.module)
    recording = probed.record(lambda module: module.draw_inputs())
    if recording.error is not None:
        raise recording.error
    x, h_0 = _inputs_of(recording)
    time, batch, input_size, hidden_size = *x.shape, h_0.size(1)
    sizes = {"T": time, "B": batch, "I": input_size, "H": hidden_size}
    for name, size in sizes.items():
        if not 2 <= size <= MAX_SIZE:
            reason = "hides mistakes" if size < 2 else f"is more than {MAX_SIZE}"
            raise _at_sizes(recording, f"{name} = {size} {reason}: choose 2 to {MAX_SIZE}", size)
        for other, same in sizes.items():
            if other < name and size == same:
                message = f"{other} = {name} = {size}: a layer that takes one axis for the other"
                raise _at_sizes(recording, f"{message} has the right shapes", size)
    for name, value in (("x", x), ("h_0", h_0)):
        if len(value.unique()) < value.numel():
            message = f"elements of {name} are equal: a layer that exchanges or ignores them passes"
            raise _at(_site_of(recording, value), message)


def _inputs_of(recording: Recording) -> tuple[Tensor, Tensor]:
    last = recording.events[-1].site if recording.events else None
    match recording.output:
        case (Tensor() as x, Tensor() as h_0) if x.dim() == 3 and h_0.dim() == 2:
            if x.size(1) == h_0.size(0):
                return x.detach(), h_0.detach()
            message = f"x has B = {x.size(1)} and h_0 has B = {h_0.size(0)}: they must be the same"
            raise _at(_site_of(recording, h_0), message)
    raise _at(last, "draw_inputs must return x (T, B, I) and h_0 (B, H)")


def _site_of(recording: Recording, value: Tensor) -> Site:
    """The statement that computed a value: the last one, ``return``, if none has it alone."""
    events = [each for each in recording.events if same_values(each.value, value)]
    return next(iter([*events, *recording.events[-1:]])).site


def _at_sizes(recording: Recording, message: str, size: int) -> Failure:
    """A failure at the statement that sets a size, or that draws x."""
    is_size = [each for each in recording.events if type(each.value) is int and each.value == size]
    tensors = [each for each in recording.events if isinstance(each.value, Tensor)]
    return _at(next(iter([*is_size, *tensors, recording.events[-1]])).site, message)


def _at(site: Site | None, message: str) -> Failure:
    return Failure(message, line=site.line if site else 0)
