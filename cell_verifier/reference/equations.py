"""torch.nn's recurrences, written so that a mistake can replace each stage of a step.

Every tensor may have leading axes: one call then evaluates all sets of weights stacked there.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cell_verifier.reference.kinds import Kind

Stages = dict[str, Callable[..., Any]]
"""The name of a stage (a method of ``Step`` or ``LayerWiring``) -> the function in its place."""


def replace_stages(owner: object, stages: Stages) -> None:
    """Replace those methods of ``owner`` that ``stages`` names."""
    for name, stage in stages.items():
        if hasattr(owner, name):
            setattr(owner, name, stage)


class Weights(NamedTuple):
    """The weights of one cell; a bias that the user's cell does not have is zero."""

    ih: Tensor  # (..., G, H, I)
    hh: Tensor  # (..., G, H, H)
    b_ih: Tensor  # (..., G, H)
    b_hh: Tensor  # (..., G, H)
    peephole: Tensor  # (..., G, H, H): not in torch.nn; zero unless the user's cell has it


def stack_weights(weights: Sequence[Weights]) -> Weights:
    """Stack several sets of weights along a new first axis."""
    return Weights(*(torch.stack(same) for same in zip(*weights, strict=True)))


def product(weight: Tensor, vector: Tensor) -> Tensor:
    """W v for every gate: (..., G, H, I), (..., B, I) -> (..., G, B, H)."""
    if vector.dim() == 2:  # the same for all sets of weights: one large product, not many small
        return (weight @ vector.T).transpose(-1, -2)
    return vector.unsqueeze(-3) @ weight.transpose(-1, -2)


def affine(weight: Tensor, bias: Tensor, vector: Tensor) -> Tensor:
    """W v + b for every gate: -> (..., G, B, H)."""
    return product(weight, vector) + bias.unsqueeze(-2)


class Step:
    """One time step. A subclass defines the recurrence; ``stages`` replaces methods of it."""

    def __init__(self, stages: Stages) -> None:
        replace_stages(self, stages)

    sigmoid = staticmethod(torch.sigmoid)
    activation = staticmethod(torch.tanh)

    @staticmethod
    def previous_state(*state: Tensor) -> tuple[Tensor, ...]:
        """Hook applied to the state from the previous time step."""
        return state

    @staticmethod
    def next_state(*state: Tensor) -> tuple[Tensor, ...]:
        """Hook applied to the state passed to the next time step."""
        return state

    def __call__(self, w: Weights, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        raise NotImplementedError


class RNNStep(Step):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh)"""

    def __call__(self, w: Weights, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        (h,) = self.previous_state(*state)
        n = affine(w.ih, w.b_ih, x) + affine(w.hh, w.b_hh, h)
        return (self.activation(n.squeeze(-3)),)


class GRUStep(Step):
    """r = σ(·), z = σ(·), n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn)), h' = (1-z) ⊙ n + z ⊙ h"""

    @staticmethod
    def reset(w: Weights, n_x: Tensor, r: Tensor, h: Tensor) -> Tensor:
        """The pre-activation of the candidate; ``n_x`` is W_in x + b_in."""
        return n_x + r * candidate_of(w, h)

    @staticmethod
    def update(z: Tensor, n: Tensor, h: Tensor) -> Tensor:
        return (1 - z) * n + z * h

    def __call__(self, w: Weights, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        (h,) = self.previous_state(*state)
        r_x, z_x, n_x = affine(w.ih, w.b_ih, x).unbind(-3)
        r_h, z_h, _ = affine(w.hh, w.b_hh, h).unbind(-3)
        r, z = self.sigmoid(r_x + r_h), self.sigmoid(z_x + z_h)
        n = self.activation(self.reset(w, n_x, r, h))
        return (self.update(z, n, h),)


def candidate_of(w: Weights, h: Tensor, bias: bool = True) -> Tensor:
    """The recurrent part of a GRU's candidate, W_hn h + b_hn: -> (..., B, H)."""
    n_h = h @ w.hh[..., 2, :, :].transpose(-1, -2)
    return n_h + w.b_hh[..., 2, None, :] if bias else n_h


class LSTMStep(Step):
    """i, f, o = σ(·), g = tanh(·), c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c')"""

    @staticmethod
    def peephole_terms(w: Weights, a: Tensor, c: Tensor) -> Tensor:
        """Add peephole terms to the pre-activations (..., G, B, H); torch.nn has none."""
        return a

    @staticmethod
    def output_peephole_term(w: Weights, a_o: Tensor, c: Tensor, new_c: Tensor) -> Tensor:
        """Add a peephole term to the output gate's pre-activation; torch.nn has none."""
        return a_o

    @staticmethod
    def cell(i: Tensor, f: Tensor, g: Tensor, c: Tensor) -> Tensor:
        return f * c + i * g

    @staticmethod
    def hidden(o: Tensor, c: Tensor, old_c: Tensor) -> Tensor:
        return o * torch.tanh(c)

    def __call__(self, w: Weights, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        h, c = self.previous_state(*state)
        a = affine(w.ih, w.b_ih, x) + affine(w.hh, w.b_hh, h)
        i, f, g, a_o = self.peephole_terms(w, a, c).unbind(-3)
        i, f, g = self.sigmoid(i), self.sigmoid(f), self.activation(g)
        new_c = self.cell(i, f, g, c)
        o = self.sigmoid(self.output_peephole_term(w, a_o, c, new_c))
        return self.hidden(o, new_c, c), new_c


STEPS: dict[str, type[Step]] = {"rnn": RNNStep, "gru": GRUStep, "lstm": LSTMStep}


def step_of(kind: Kind, stages: Stages) -> Step:
    """torch.nn's step of this kind, with some stages replaced."""
    return STEPS[kind.name](stages)
