"""Mistakes in a layer: between time steps, between layers, and in the caller's state."""

from collections.abc import Iterator

import torch
from torch import Tensor

from cell_verifier.mistakes.mistake import Change, mistake
from cell_verifier.reference.simulate import LayerConfig


def _second_zero(h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    return h, torch.zeros_like(c)


@mistake(
    "cell-not-carried",
    "step",
    kinds=("lstm",),
    why="c is reset to zero at each time step, so it carries no memory",
    right="h, c = cell(x_t, (h, c))",
    wrong="h, _ = cell(x_t, (h, torch.zeros_like(h)))",
    fix="pass the c of each time step to the next one",
)
def cell_not_carried(kind: str) -> Iterator[Change]:
    yield Change("from the first time step", stages={"previous_state": _second_zero})
    yield Change("after the first time step", stages={"next_state": _second_zero})


@mistake(
    "hidden-not-carried",
    "step",
    why="h is reset to zero at each time step, so the recurrent weights have no effect",
    right="h = cell(x_t, h)",
    wrong="h = cell(x_t, torch.zeros_like(h))",
    fix="pass the h of each time step to the next one",
)
def hidden_not_carried(kind: str) -> Iterator[Change]:
    def first_zero(h: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        return torch.zeros_like(h), *rest

    yield Change("from the first time step", stages={"previous_state": first_zero})
    yield Change("after the first time step", stages={"next_state": first_zero})


@mistake(
    "state-order",
    "boundary",
    kinds=("lstm",),
    why="the state is ordered (c, h); torch.nn orders it (h, c)",
    right="h, c = state;  return h, c",
    wrong="c, h = state;  return c, h",
    fix="accept and return (h, c)",
)
def state_order(kind: str) -> Iterator[Change]:
    def exchange(h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        return c, h

    yield Change(
        "accepted and returned as (c, h)",
        stages={"receive_state": exchange, "return_state": exchange},
    )
    yield Change("accepted as (c, h)", stages={"receive_state": exchange})
    yield Change("returned as (c, h)", stages={"return_state": exchange})


@mistake(
    "state-not-used",
    "sequence",
    why="the initial state that the caller passes is ignored",
    right="h = h_0",
    wrong="h = torch.zeros(B, H)",
    fix="start from the state that is passed; use zeros only where none is",
)
def state_not_used(kind: str) -> Iterator[Change]:
    def zeros(*state: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.zeros_like(part) for part in state)

    yield Change(stages={"receive_state": zeros})


@mistake(
    "view-not-transpose",
    "sequence",
    why="view() reinterprets memory and so mixes the samples; only a transpose exchanges axes",
    right="x.transpose(0, 1)",
    wrong="x.view(T, B, -1)",
    fix="exchange batch and time with transpose(0, 1), of the input and of the outputs",
)
def view_not_transpose(kind: str) -> Iterator[Change]:
    yield Change(
        "of the input and the outputs",
        stages={"arrange_input": _view_in, "arrange_output": _view_out},
    )
    yield Change("of the input", stages={"arrange_input": _view_in})
    yield Change("of the outputs", stages={"arrange_output": _view_out})


def _view_in(x: Tensor, batch_first: bool) -> Tensor:
    """x (T, B, I) as the loop over time reads it, after a view as the other layout."""
    time, batch, size = x.shape
    if batch_first:
        return x.transpose(0, 1).reshape(time, batch, size)
    return x.reshape(batch, time, size).transpose(0, 1)


def _view_out(output: Tensor, batch_first: bool) -> Tensor:
    """Outputs (..., T, B, H) as the caller reads them, after a view as the other layout."""
    time, batch, size = output.shape[-3:]
    leading = output.shape[:-3]
    if batch_first:
        return output.reshape(*leading, batch, time, size).transpose(-3, -2)
    return output.transpose(-3, -2).reshape(*leading, time, batch, size)


@mistake(
    "batch-time-mixup",
    "square",
    why="the loop runs over the batch, so the state of one sample flows into the next sample",
    right="for x_t in x.unbind(1 if batch_first else 0)",
    wrong="for x_t in x.unbind(0), also if batch_first=True",
    fix="iterate over the time axis: axis 1 of a batch-first input, axis 0 of a time-first one",
)
def batch_time_mixup(kind: str) -> Iterator[Change]:
    """Axes confused within a layer. For a wrong ``batch_first`` see ``identification.options``."""
    yield Change(
        "batch and time axes of the input are swapped, those of the outputs are not",
        stages={"arrange_input": lambda x, batch_first: x.transpose(0, 1)},
    )
    yield Change(
        "batch and time axes of the outputs are swapped, those of the input are not",
        stages={"arrange_output": lambda output, batch_first: output.transpose(-3, -2)},
    )


@mistake(
    "reverse-not-flipped",
    "multi-layer",
    why="the outputs of the reverse direction are left in reverse order: step t is at index T-1-t",
    right="outputs_reverse.flip(0)",
    wrong="outputs_reverse in the order of the loop",
    fix="flip the reverse outputs along time before concatenating them with the forward ones",
)
def reverse_not_flipped(kind: str) -> Iterator[Change]:
    yield Change(stages={"flip_back": lambda output: output})


@mistake(
    "separate-direction-stacks",
    "multi-layer",
    why="the two directions form separate stacks; torch.nn feeds both to each next layer",
    right="layer 1 reads torch.cat([forward, reverse], dim=-1)",
    wrong="forward layer 1 reads only forward, reverse layer 1 reads only reverse",
    fix="concatenate both directions after every layer; later layers then have 2H inputs",
)
def separate_direction_stacks(kind: str) -> Iterator[Change]:
    yield Change(stages={"layer_input": lambda x, below, direction: below[direction]})


@mistake(
    "state-layout",
    "multi-layer",
    why="the states are ordered (direction, layer); torch.nn orders them (layer, direction)",
    right="h_n[layer * directions + direction]",
    wrong="h_n[direction * layers + layer]",
    fix="order the states by layer, and within a layer forward before reverse",
)
def state_layout(kind: str) -> Iterator[Change]:
    def index(layer: int, direction: int, config: LayerConfig) -> int:
        return direction * config.num_layers + layer

    def order(config: LayerConfig) -> list[tuple[int, int]]:
        return [(n, d) for d in range(config.num_directions) for n in range(config.num_layers)]

    yield Change("of h_0 and h_n", stages={"state_index": index, "final_order": order})
    yield Change("of h_n", stages={"final_order": order})
    yield Change("of h_0", stages={"state_index": index})


@mistake(
    "shared-initial-state",
    "multi-layer",
    why="every layer starts from the first layer's initial state",
    right="layer k starts from h_0[k]",
    wrong="every layer starts from h_0[0]",
    fix="start each layer and direction from its own row of h_0",
)
def shared_initial_state(kind: str) -> Iterator[Change]:
    yield Change(
        "from the first layer of its direction",
        stages={"state_index": lambda layer, direction, config: direction},
    )
    yield Change(
        "from the first layer, forward", stages={"state_index": lambda layer, direction, config: 0}
    )


@mistake(
    "first-layer-input",
    "multi-layer",
    why="a later layer reads the input x instead of the outputs of the layer below",
    right="layer k reads the outputs of layer k-1",
    wrong="layer k reads x",
    fix="pass the outputs of each layer to the next layer",
)
def first_layer_input(kind: str) -> Iterator[Change]:
    yield Change(stages={"layer_input": lambda x, below, direction: x})


@mistake(
    "dropout-on-last-layer",
    "multi-layer",
    why="dropout is applied where torch.nn applies none: it belongs only between layers",
    right="dropout on the outputs of every layer but the last",
    wrong="dropout on the last layer's outputs, or on h inside the loop",
    fix="apply no dropout after the last layer and none inside the loop over time",
)
def dropout_on_last_layer(kind: str) -> Iterator[Change]:
    def drop(output: Tensor, dropout: float) -> Tensor:
        return output * (1 - dropout)

    def keep(output: Tensor, dropout: float) -> Tensor:
        return output

    yield Change("after the last layer", stages={"drop_last": drop})
    yield Change("only after the last layer", stages={"drop_last": drop, "drop_between": keep})
    yield Change("inside the loop over time", stages={"drop_state": drop})
    yield Change(
        "only inside the loop over time", stages={"drop_state": drop, "drop_between": keep}
    )


@mistake(
    "detached-state",
    "gradient",
    why="the state is detached at each time step: the outputs are exact, but no gradient flows "
    "back through time",
    right="h = cell(x_t, h)",
    wrong="h = cell(x_t, h.detach())",
    fix="detach only between sequences, never between the time steps of one sequence",
)
def detached_state(kind: str) -> Iterator[Change]:
    masks = [(True, True), (True, False), (False, True)] if kind == "lstm" else [(True,)]
    names = {(True,): "h", (True, True): "h and c", (True, False): "h", (False, True): "c"}
    for mask in masks:

        def detach(*state: Tensor, mask: tuple[bool, ...] = mask) -> tuple[Tensor, ...]:
            return tuple(
                part.detach() if cut else part for part, cut in zip(state, mask, strict=True)
            )

        yield Change(
            f"{names[mask]} at the start of each time step", stages={"previous_state": detach}
        )
        yield Change(f"{names[mask]} at the end of each time step", stages={"next_state": detach})


MISTAKES = (
    cell_not_carried,
    hidden_not_carried,
    state_order,
    state_not_used,
    view_not_transpose,
    batch_time_mixup,
    reverse_not_flipped,
    separate_direction_stacks,
    state_layout,
    shared_initial_state,
    first_layer_input,
    dropout_on_last_layer,
    detached_state,
)
