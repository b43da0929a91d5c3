"""torch.nn's recurrences written out, each line of them a stage that a mistake can replace.

Everything takes leading axes: one call runs as many candidate sets of weights as are stacked there.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cell_verifier.reference.kinds import Kind

Stages = dict[str, Callable[..., Any]]
"""The name of a stage -> what is run in its place."""


class Weights(NamedTuple):
    """One cell's weights; biases that the user's cell lacks are zero."""

    ih: Tensor  # (..., G, H, I)
    hh: Tensor  # (..., G, H, H)
    b_ih: Tensor  # (..., G, H)
    b_hh: Tensor  # (..., G, H)
    peephole: Tensor  # (..., G, H, H): not torch.nn's; zero unless the user's cell has it


def stack_weights(weights: Sequence[Weights]) -> Weights:
    """Candidates side by side, along a new first axis."""
    return Weights(*(torch.stack(same) for same in zip(*weights, strict=True)))


def product(weight: Tensor, vector: Tensor) -> Tensor:
    """W v for every gate: (..., G, H, I), (..., B, I) -> (..., G, B, H)."""
    return vector.unsqueeze(-3) @ weight.transpose(-1, -2)


def affine(weight: Tensor, bias: Tensor, vector: Tensor) -> Tensor:
    """W v + b for every gate: -> (..., G, B, H)."""
    return product(weight, vector) + bias.unsqueeze(-2)


class Step:
    """One step; a subclass writes the recurrence, ``stages`` replace lines of it."""

    def __init__(self, stages: Stages) -> None:
        for name, stage in stages.items():
            if hasattr(self, name):
                setattr(self, name, stage)

    sigmoid = staticmethod(torch.sigmoid)
    activation = staticmethod(torch.tanh)

    @staticmethod
    def recall(*state: Tensor) -> tuple[Tensor, ...]:
        """What the step knows of the state before."""
        return state

    @staticmethod
    def carry(*state: Tensor) -> tuple[Tensor, ...]:
        """What the next step is given of the state after."""
        return state

    def __call__(self, w: Weights, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        raise NotImplementedError


class RNNStep(Step):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh)"""

    def __call__(self, w: Weights, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        (h,) = self.recall(*state)
        n = affine(w.ih, w.b_ih, x) + affine(w.hh, w.b_hh, h)
        return (self.activation(n.squeeze(-3)),)


class GRUStep(Step):
    """r = σ(·), z = σ(·), n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn)), h' = (1-z) ⊙ n + z ⊙ h"""

    @staticmethod
    def reset(w: Weights, n_x: Tensor, r: Tensor, h: Tensor) -> Tensor:
        """The candidate before its tanh; ``n_x`` is W_in x + b_in."""
        return n_x + r * candidate_of(w, h)

    @staticmethod
    def update(z: Tensor, n: Tensor, h: Tensor) -> Tensor:
        return (1 - z) * n + z * h

    def __call__(self, w: Weights, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        (h,) = self.recall(*state)
        r_x, z_x, n_x = affine(w.ih, w.b_ih, x).unbind(-3)
        r_h, z_h, _ = affine(w.hh, w.b_hh, h).unbind(-3)
        r, z = self.sigmoid(r_x + r_h), self.sigmoid(z_x + z_h)
        n = self.activation(self.reset(w, n_x, r, h))
        return (self.update(z, n, h),)


def candidate_of(w: Weights, h: Tensor, bias: bool = True) -> Tensor:
    """A GRU's W_hn h + b_hn: -> (..., B, H)."""
    n_h = h @ w.hh[..., 2, :, :].transpose(-1, -2)
    return n_h + w.b_hh[..., 2, None, :] if bias else n_h


class LSTMStep(Step):
    """i, f, o = σ(·), g = tanh(·), c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c')"""

    @staticmethod
    def peep(w: Weights, a: Tensor, c: Tensor) -> Tensor:
        """What i, f and g see of the old c: nothing. ``a`` is (..., G, B, H)."""
        return a

    @staticmethod
    def peep_output(w: Weights, a_o: Tensor, c: Tensor, new_c: Tensor) -> Tensor:
        """What o sees of c: nothing."""
        return a_o

    @staticmethod
    def cell(i: Tensor, f: Tensor, g: Tensor, c: Tensor) -> Tensor:
        return f * c + i * g

    @staticmethod
    def hidden(o: Tensor, c: Tensor, old_c: Tensor) -> Tensor:
        return o * torch.tanh(c)

    def __call__(self, w: Weights, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        h, c = self.recall(*state)
        a = affine(w.ih, w.b_ih, x) + affine(w.hh, w.b_hh, h)
        i, f, g, a_o = self.peep(w, a, c).unbind(-3)
        i, f, g = self.sigmoid(i), self.sigmoid(f), self.activation(g)
        new_c = self.cell(i, f, g, c)
        o = self.sigmoid(self.peep_output(w, a_o, c, new_c))
        return self.hidden(o, new_c, c), new_c


STEPS: dict[str, type[Step]] = {"rnn": RNNStep, "gru": GRUStep, "lstm": LSTMStep}


def step_of(kind: Kind, stages: Stages) -> Step:
    """torch.nn's step of this kind, with some lines replaced."""
    return STEPS[kind.name](stages)
