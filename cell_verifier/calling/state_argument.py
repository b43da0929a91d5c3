"""What the signature of the user's ``forward`` shows of its argument for the state."""

import inspect

from torch import nn

from cell_verifier.calling.arguments import names

STATE_NAMES = names(
    "state states hx h h0 h_0 hc h_c hidden hiddens hidden_state hidden_states hid init "
    "init_state init_states initial_state initial_states init_hidden h_init h_prev prev_h prev "
    "prev_state previous_state s s0 start carry memory mem cell_state h_t ht h_tm1 state0 state_0"
)
"""Common names of the argument for the state."""


def state_keywords(module: nn.Module) -> tuple[str, ...]:
    """The names of forward's arguments after the first, if all of them are keyword-only."""
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return ()
    only = [each for each in parameters[1:] if each.kind is each.KEYWORD_ONLY]
    return tuple(each.name for each in only) if only == parameters[1:] else ()


def may_take_state(module: nn.Module) -> bool:
    """Whether forward's second argument can be a state; not if its default is a number or text."""
    second = second_argument(module)
    return second is None or not isinstance(second.default, bool | int | str)


def is_state_argument(module: nn.Module) -> bool:
    """Whether forward's second argument is a state: by its name, or because it is required."""
    second = second_argument(module)
    if second is None or not may_take_state(module):
        return False
    return second.name.lower() in STATE_NAMES or second.default is second.empty


def second_argument(module: nn.Module) -> inspect.Parameter | None:
    """forward's second argument; None if it has none, or if its signature is unknown."""
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return None
    named = [each for each in parameters if each.kind is not each.VAR_KEYWORD]
    some = len(named) > 1 and named[1].kind is not named[1].VAR_POSITIONAL
    return named[1] if some else None
