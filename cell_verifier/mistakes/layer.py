"""Mistakes in what goes on from step to step, layer to layer, and in the caller's state."""

from collections.abc import Iterator

import torch
from torch import Tensor

from cell_verifier.mistakes.catalogue import Change, mistake
from cell_verifier.reference.simulate import Stack


def _second_zero(h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    return h, torch.zeros_like(c)


@mistake(
    "cell-not-carried",
    "step",
    kinds=("lstm",),
    why="c starts anew at each step, so that nothing is remembered in it",
    right="h, c = cell(x_t, (h, c))",
    wrong="h, _ = cell(x_t, (h, torch.zeros_like(h)))",
    fix="give the c of the step before to the next step",
)
def cell_not_carried(kind: str) -> Iterator[Change]:
    yield Change("from the first step on", stages={"recall": _second_zero})
    yield Change("after the first step", stages={"carry": _second_zero})


@mistake(
    "hidden-not-carried",
    "step",
    why="h starts anew at each step, so that the recurrent weights see nothing",
    right="h = cell(x_t, h)",
    wrong="h = cell(x_t, torch.zeros_like(h))",
    fix="give the h of the step before to the next step",
)
def hidden_not_carried(kind: str) -> Iterator[Change]:
    def first_zero(h: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        return torch.zeros_like(h), *rest

    yield Change("from the first step on", stages={"recall": first_zero})
    yield Change("after the first step", stages={"carry": first_zero})


@mistake(
    "state-order",
    "edge",
    kinds=("lstm",),
    why="the state is (c, h) where torch.nn has (h, c)",
    right="h, c = state;  return h, c",
    wrong="c, h = state;  return c, h",
    fix="take and return (h, c)",
)
def state_order(kind: str) -> Iterator[Change]:
    def exchange(h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        return c, h

    yield Change("taken and returned as (c, h)", stages={"take": exchange, "give": exchange})
    yield Change("taken as (c, h)", stages={"take": exchange})
    yield Change("returned as (c, h)", stages={"give": exchange})


@mistake(
    "state-not-used",
    "sequence",
    why="the initial state that the caller gives is ignored",
    right="h = h_0",
    wrong="h = torch.zeros(B, H)",
    fix="start from the given state; zeros only where none is given",
)
def state_not_used(kind: str) -> Iterator[Change]:
    yield Change(stages={"take": lambda *state: tuple(torch.zeros_like(part) for part in state)})


@mistake(
    "view-not-transpose",
    "sequence",
    why="a view cuts the numbers in storage order anew and so mixes the samples; "
    "only a transpose exchanges axes",
    right="x.transpose(0, 1)",
    wrong="x.view(T, B, -1)",
    fix="exchange batch and time with transpose(0, 1), here and on the way back",
)
def view_not_transpose(kind: str) -> Iterator[Change]:
    yield Change("on the way in and out", stages={"arrange": _view_in, "restore": _view_out})
    yield Change("on the way in", stages={"arrange": _view_in})
    yield Change("on the way out", stages={"restore": _view_out})


def _view_in(x: Tensor, batch_first: bool) -> Tensor:
    """x (T, B, I) as the loop sees it, where the caller's layout was viewed as the other one."""
    time, batch, size = x.shape
    if batch_first:
        return x.transpose(0, 1).reshape(time, batch, size)
    return x.reshape(batch, time, size).transpose(0, 1)


def _view_out(output: Tensor, batch_first: bool) -> Tensor:
    """Outputs (..., T, B, H) as the caller sees them, viewed as the other layout."""
    time, batch, size = output.shape[-3:]
    leading = output.shape[:-3]
    if batch_first:
        return output.reshape(*leading, batch, time, size).transpose(-3, -2)
    return output.transpose(-3, -2).reshape(*leading, time, batch, size)


@mistake(
    "batch-time-mixup",
    "square",
    why="the recurrence runs along the batch, so that one sample's state flows into the next",
    right="for x_t in x.unbind(1 if batch_first else 0)",
    wrong="for x_t in x.unbind(0), whatever batch_first says",
    fix="walk the time axis: axis 1 of a batch-first input, axis 0 of a time-first one",
)
def batch_time_mixup(kind: str) -> Iterator[Change]:
    """Axes mixed within a layer; one that walks another axis than it says: see ``layers``."""
    yield Change(
        "the input's axes are taken for each other, and the outputs' are not",
        stages={"arrange": lambda x, batch_first: x.transpose(0, 1)},
    )
    yield Change(
        "the outputs' axes are taken for each other, and the input's are not",
        stages={"restore": lambda output, batch_first: output.transpose(-3, -2)},
    )


@mistake(
    "reverse-not-flipped",
    "stack",
    why="the reverse direction's outputs stay in the order in which it walked: step t is at T-1-t",
    right="outputs_reverse.flip(0)",
    wrong="outputs_reverse as appended",
    fix="flip the reverse outputs along time before joining them to the forward ones",
)
def reverse_not_flipped(kind: str) -> Iterator[Change]:
    yield Change(stages={"flip_back": lambda output: output})


@mistake(
    "separate-direction-stacks",
    "stack",
    why="forward and reverse layers are stacked apart; torch.nn feeds both directions to every "
    "next layer",
    right="layer 1 reads torch.cat([forward, reverse], dim=-1)",
    wrong="the forward layer 1 reads forward only, the reverse one reverse only",
    fix="join both directions after every layer; later layers then have 2H inputs",
)
def separate_direction_stacks(kind: str) -> Iterator[Change]:
    yield Change(stages={"feed": lambda x, below, direction: below[direction]})


@mistake(
    "state-layout",
    "stack",
    why="the states are ordered (direction, layer) where torch.nn has (layer, direction)",
    right="h_n[layer * directions + direction]",
    wrong="h_n[direction * layers + layer]",
    fix="order the states layer by layer, forward before reverse",
)
def state_layout(kind: str) -> Iterator[Change]:
    def index(layer: int, direction: int, stack: Stack) -> int:
        return direction * stack.layers + layer

    def order(stack: Stack) -> list[tuple[int, int]]:
        return [(n, d) for d in range(stack.directions) for n in range(stack.layers)]

    yield Change("given and returned", stages={"state_index": index, "final_order": order})
    yield Change("returned", stages={"final_order": order})
    yield Change("given", stages={"state_index": index})


@mistake(
    "shared-initial-state",
    "stack",
    why="every layer starts from the first layer's initial state",
    right="layer k starts from h_0[k]",
    wrong="every layer starts from h_0[0]",
    fix="give each layer and direction its own row of h_0",
)
def shared_initial_state(kind: str) -> Iterator[Change]:
    yield Change(
        "each direction's first", stages={"state_index": lambda layer, direction, stack: direction}
    )
    yield Change("the very first", stages={"state_index": lambda layer, direction, stack: 0})


@mistake(
    "first-layer-input",
    "stack",
    why="a later layer reads the input x instead of the outputs of the layer below",
    right="layer k reads the outputs of layer k-1",
    wrong="layer k reads x",
    fix="hand each layer's outputs on to the next",
)
def first_layer_input(kind: str) -> Iterator[Change]:
    yield Change(stages={"feed": lambda x, below, direction: x})


@mistake(
    "dropout-on-last-layer",
    "stack",
    why="dropout falls where torch.nn has none: it belongs between layers only",
    right="dropout on the outputs of every layer but the last",
    wrong="dropout on the last layer's outputs, or on h inside the loop",
    fix="skip dropout after the last layer, and keep it out of the loop over time",
)
def dropout_on_last_layer(kind: str) -> Iterator[Change]:
    def drop(output: Tensor, dropout: float) -> Tensor:
        return output * (1 - dropout)

    def keep(output: Tensor, dropout: float) -> Tensor:
        return output

    yield Change("after the last layer", stages={"drop_last": drop})
    yield Change("only after the last layer", stages={"drop_last": drop, "drop_between": keep})
    yield Change("inside the recurrence", stages={"drop_state": drop})
    yield Change("inside the recurrence only", stages={"drop_state": drop, "drop_between": keep})


@mistake(
    "detached-state",
    "gradient",
    why="the state is detached at each step: the outputs are exact, but no gradient flows "
    "through time",
    right="h = cell(x_t, h)",
    wrong="h = cell(x_t, h.detach())",
    fix="detach between batches if at all, never between the steps of one sequence",
)
def detached_state(kind: str) -> Iterator[Change]:
    masks = (
        [
            (True,),
        ]
        if kind != "lstm"
        else [(True, True), (True, False), (False, True)]
    )
    names = {(True,): "h", (True, True): "h and c", (True, False): "h", (False, True): "c"}
    for mask in masks:

        def detach(*state: Tensor, mask: tuple[bool, ...] = mask) -> tuple[Tensor, ...]:
            return tuple(
                part.detach() if cut else part for part, cut in zip(state, mask, strict=True)
            )

        yield Change(f"{names[mask]} entering each step", stages={"recall": detach})
        yield Change(f"{names[mask]} leaving each step", stages={"carry": detach})
