"""Recognise published recurrences that are not torch.nn's, on the module's own parameters.

The module's values are compared with the variant's equations, as with torch.nn's with a mistake:
a name is given only if they agree at every step.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, permutations, product

import torch
from torch import Tensor, nn

from cell_verifier.calling.discover import Trial
from cell_verifier.identification.trials import TrialSet
from cell_verifier.parameters.candidates import candidates
from cell_verifier.parameters.correspondence import Correspondence, named_parameters
from cell_verifier.reference.equations import Weights, affine, step_of
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE, Precision, Probe
from cell_verifier.reference.simulate import RunResult, max_relative_difference

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], State]
"""The next state for an input (B, I) and a state."""

MAX_CORRESPONDENCES = 24
"""Correspondences that are tried for each variant, the most likely first."""

VARIANT = "this is "
"""How the cause of a difference begins if the module is another known recurrence."""

ZONEOUT = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5)
"""Probabilities of zoneout that are tried."""


@dataclass(frozen=True)
class GatedVariant:
    """A recurrence with another number of gates than torch.nn's.

    Attributes:
        name: with its equation.
        gates: names of the gates.
        step: the next state, from the weights of these gates.
    """

    name: str
    gates: tuple[str, ...]
    step: Callable[[Weights, Tensor, State], State]


def known_variant(
    module: nn.Module, kind: Kind, trial_sets: Sequence[TrialSet], precision: Precision
) -> tuple[str, Correspondence]:
    """The variant that the module is, in words, or "".

    With it, which parameters are torch.nn's weights, if the variant has torch.nn's gates.
    """
    for name, step, found in _steps(module, kind):
        for trials in trial_sets:
            for trial in trials.trials:
                if _matches(step, kind, trial, trials.probe, precision):
                    text = f"{VARIANT}{name}; torch.nn's {kind.title} is another recurrence"
                    return text, found
    return "", Correspondence(kind, ())


def _matches(step: Step, kind: Kind, trial: Trial, probe: Probe, precision: Precision) -> bool:
    simulated = _run(step, kind, trial, probe)
    observed = trial.observed
    if not observed or not observed.keys() <= simulated.keys():
        return False
    return max_relative_difference(observed, simulated) <= precision.match


def _run(step: Step, kind: Kind, trial: Trial, probe: Probe) -> RunResult:
    """The states after every step of a cell, or the outputs and the final state of a layer."""
    is_cell = trial.convention.is_cell
    received = trial.convention.received(probe)
    state = tuple(part if is_cell else part[0] for part in received.state)
    states = []
    for x in received.x:
        state = step(x, state)
        states.append(state)
    parts = [torch.stack(part) for part in zip(*states, strict=True)]
    finals = parts if is_cell else [part[-1:] for part in parts]
    return {"output": parts[0], **dict(zip(kind.state, finals, strict=False))}


def _steps(module: nn.Module, kind: Kind) -> Iterator[tuple[str, Step, Correspondence]]:
    """Every variant on every reading of the module's parameters."""
    parameters, unmatched = named_parameters(module), Correspondence(kind, ())
    for name, step in (*_input_only_steps(parameters), *_independent_steps(parameters)):
        yield name, step, unmatched
    for variant in GATED.get(kind.name, ()):
        letters = "".join(gate[0] for gate in variant.gates)
        own = replace(kind, gates=variant.gates, letters=letters)
        for found in _without_extra(candidates(module, own)):
            weights = found.read(parameters, INPUT_SIZE, HIDDEN_SIZE)
            for order in permutations(range(len(variant.gates))):
                w = Weights(*(part[list(order)] for part in weights))
                yield variant.name, _step_with(variant.step, w), unmatched
    for found in _without_extra(candidates(module, kind)):
        w = found.read(parameters, INPUT_SIZE, HIDDEN_SIZE)
        for kept in product((0.0, *ZONEOUT), repeat=len(kind.state)):
            if any(kept):
                yield _zoneout_name(kind, kept), _zoneout(kind, w, kept), found


def _without_extra(found: Sequence[Correspondence]) -> Iterator[Correspondence]:
    """The first correspondences in which every parameter has a place."""
    return islice((each for each in found if not each.extra), MAX_CORRESPONDENCES)


def _step_with(step: Callable[[Weights, Tensor, State], State], w: Weights) -> Step:
    return lambda x, state: step(w, x, state)


def _zoneout_name(kind: Kind, kept: Sequence[float]) -> str:
    parts = ", ".join(
        f"{part}' = {p:g} {part} + {1 - p:g} {part}_new"
        for part, p in zip(kind.state, kept, strict=True)
        if p
    )
    article = "an" if kind.name != "gru" else "a"
    return f"{article} {kind.title} with zoneout: {parts} in evaluation mode"


def _zoneout(kind: Kind, w: Weights, kept: Sequence[float]) -> Step:
    update = step_of(kind, {})

    def step(x: Tensor, state: State) -> State:
        new = update(w, x, *state)
        return tuple(p * a + (1 - p) * b for p, a, b in zip(kept, state, new, strict=True))

    return step


def _without_forget_gate(w: Weights, x: Tensor, state: State) -> State:
    h, c = state
    i, g, o = (affine(w.ih, w.b_ih, x) + affine(w.hh, w.b_hh, h)).unbind(-3)
    c = c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _minimal_gated(w: Weights, x: Tensor, state: State, *, before: bool, keeps: bool) -> State:
    """One step; ``before``: f multiplies h, not U_n h; ``keeps``: f keeps the old state."""
    (h,) = state
    f_x, n_x = affine(w.ih, w.b_ih, x).unbind(-3)
    f_h, n_h = affine(w.hh, w.b_hh, h).unbind(-3)
    f = torch.sigmoid(f_x + f_h)
    if before:
        n_h = affine(w.hh, w.b_hh, f * h)[..., 1, :, :]
    n = torch.tanh(n_x + (n_h if before else f * n_h))
    return (f * h + (1 - f) * n if keeps else (1 - f) * h + f * n,)


def _minimal(before: bool, keeps: bool) -> GatedVariant:
    inner = "W_n x + U_n (f ⊙ h)" if before else "W_n x + f ⊙ (U_n h)"
    update = "f ⊙ h + (1 - f) ⊙ n" if keeps else "(1 - f) ⊙ h + f ⊙ n"
    return GatedVariant(
        f"a minimal gated unit: one gate f, n = tanh({inner} + b_n), h' = {update}",
        ("forget", "candidate"),
        lambda w, x, state: _minimal_gated(w, x, state, before=before, keeps=keeps),
    )


GATED: Mapping[str, tuple[GatedVariant, ...]] = {
    "lstm": (
        GatedVariant(
            "the LSTM of 1997, without a forget gate: c' = c + i ⊙ g",
            ("input", "candidate", "output"),
            _without_forget_gate,
        ),
    ),
    "gru": tuple(_minimal(before, keeps) for before in (True, False) for keeps in (False, True)),
}


def _input_only_steps(parameters: Mapping[str, Tensor]) -> Iterator[tuple[str, Step]]:
    """minGRU and minLSTM: the gates and the candidate depend on x only."""
    weights = _input_rows(parameters)
    if weights is None:
        return
    w, b = weights
    if w.size(0) == 2:
        for z, n in permutations(range(2)):
            for keeps in (False, True):
                update = "z ⊙ h + (1 - z) ⊙ n" if keeps else "(1 - z) ⊙ h + z ⊙ n"
                name = f"a minGRU: z and n depend on x only, h' = {update}"
                yield name, _min_gru(w, b, z, n, keeps)
    if w.size(0) == 3:
        name = "a minLSTM: f, i and n depend on x only, h' = (f ⊙ h + i ⊙ n) / (f + i)"
        for order in permutations(range(3)):
            yield name, _min_lstm(w[list(order)], b[list(order)])


def _input_rows(parameters: Mapping[str, Tensor]) -> tuple[Tensor, Tensor] | None:
    """All parameters as (G, H, I) and (G, H), in their order; None if one is something else."""
    rows, biases = [], []
    for part in parameters.values():
        if part.dim() == 2 and INPUT_SIZE in part.shape:
            matrix = part if part.size(1) == INPUT_SIZE else part.t()
            rows.append(matrix)
        elif part.dim() == 1 and part.size(0) % HIDDEN_SIZE == 0:
            biases.append(part)
        else:
            return None
    count = sum(each.size(0) for each in rows)
    if not rows or count % HIDDEN_SIZE or sum(each.size(0) for each in biases) not in (0, count):
        return None
    w = torch.cat(rows).reshape(-1, HIDDEN_SIZE, INPUT_SIZE)
    b = torch.cat(biases) if biases else w.new_zeros(count)
    return w, b.reshape(-1, HIDDEN_SIZE)


def _min_gru(w: Tensor, b: Tensor, z_row: int, n_row: int, keeps: bool) -> Step:
    def step(x: Tensor, state: State) -> State:
        rows = affine(w, b, x)
        z, n = torch.sigmoid(rows[z_row]), rows[n_row]
        return (z * state[0] + (1 - z) * n if keeps else (1 - z) * state[0] + z * n,)

    return step


def _min_lstm(w: Tensor, b: Tensor) -> Step:
    def step(x: Tensor, state: State) -> State:
        f, i, n = affine(w, b, x)
        f, i = torch.sigmoid(f), torch.sigmoid(i)
        return ((f * state[0] + i * n) / (f + i),)

    return step


def _independent_steps(parameters: Mapping[str, Tensor]) -> Iterator[tuple[str, Step]]:
    """IndRNN: a vector u in place of the recurrent matrix."""
    matrices = [part for part in parameters.values() if part.dim() == 2]
    vectors = [part for part in parameters.values() if part.shape == (HIDDEN_SIZE,)]
    if len(matrices) != 1 or len(matrices) + len(vectors) != len(parameters):
        return
    w = matrices[0] if matrices[0].size(0) == HIDDEN_SIZE else matrices[0].t()
    if w.shape != (HIDDEN_SIZE, INPUT_SIZE):
        return
    for n, u in enumerate(vectors):
        bias = sum((v for m, v in enumerate(vectors) if m != n), torch.zeros_like(u))
        for text, activation in (("relu", torch.relu), ("tanh", torch.tanh)):
            name = f"an IndRNN: h' = {text}(W x + u ⊙ h + b), with a vector u"
            yield name, _independent(w, u, bias, activation)


def _independent(
    w: Tensor, u: Tensor, bias: Tensor, activation: Callable[[Tensor], Tensor]
) -> Step:
    return lambda x, state: (activation(x @ w.t() + u * state[0] + bias),)
