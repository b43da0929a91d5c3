"""``verify_backward``: from a backward pass written by hand to a report."""

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cell_verifier.api import isolated_settings
from cell_verifier.backward.catalogue import candidates
from cell_verifier.backward.discover import discover
from cell_verifier.backward.layout import Sizes
from cell_verifier.backward.lines.instrument import NoSourceError
from cell_verifier.backward.lines.locate import locate
from cell_verifier.backward.mistake import Candidate
from cell_verifier.backward.passes import Edits
from cell_verifier.backward.report import BackwardReport, GradientResult
from cell_verifier.backward.search import Gradients, relative_difference, search
from cell_verifier.backward.subject import Experiment, Subject
from cell_verifier.calling.construct import default_dtype, name_of
from cell_verifier.errors import CannotCheckError
from cell_verifier.localisation.location import Location
from cell_verifier.reference.against import Against
from cell_verifier.reference.kinds import KINDS
from cell_verifier.reference.probes import FLOAT64
from cell_verifier.report import Diagnosis
from command_line.errors import own_line

TOLERANCE = 1e-9
"""Relative to the largest right element, or to 1. Everything is computed in float64."""


def verify_backward(
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None = None,
    *,
    against: Against,
    arguments: Mapping[str, str] | None = None,
) -> BackwardReport:
    """Compare gradients written by hand with the right ones, and identify the mistakes in them.

    The forward pass must be right: torch.nn's RNN (with tanh), GRU or LSTM, for one time step or
    for a sequence, with any order of the gates. A GRU may apply the reset gate before the matrix
    product, and may exchange z and 1-z. The code runs in this process on small random float64
    inputs.

    Args:
        forward: a ``torch.autograd.Function``, a function of tensors that autograd differentiates,
            or, together with ``backward``, a function that returns its outputs and then a cache:
            ``h, c, cache = lstm_step_forward(x, h, c, Wx, Wh, b)``. x is (B, I), (T, B, I) or
            (B, T, I), and the state (B, H). Of a pair of functions both take NumPy arrays or both
            take tensors.
        backward: a function that takes the gradients of the outputs and the cache, and returns the
            gradients of the arguments of ``forward``, as a tuple in their order or as a
            dictionary: ``dx, dh, dc, dWx, dWh, db = lstm_step_backward(dh, dc, cache)``.
        against: ``"rnn"``, ``"gru"`` or ``"lstm"``.
        arguments: the role of each argument of ``forward``, if its name and place do not show it:
            ``x``, ``h``, ``c``, ``weight_ih``, ``weight_hh``, ``weight`` (both, joined),
            ``bias_ih``, ``bias_hh``, or ``bias`` (the only one).

    Returns:
        A ``BackwardReport``. Its ``verdict`` is about the
        gradients: ``equal``, ``different``, or ``unchecked`` if the code does not run or the
        forward pass is not one of the three recurrences.

    Raises:
        ValueError: ``against`` is not one of the three names.
    """
    if against not in KINDS:
        raise ValueError(f"against is {against!r}: expected one of {', '.join(KINDS)}")
    name = name_of(backward or forward)
    with isolated_settings(), default_dtype(FLOAT64), contextlib.redirect_stdout(io.StringIO()):
        try:
            subject = discover(forward, backward, against, arguments)
            report = _compare(subject, name)
        except CannotCheckError as error:
            return BackwardReport(name, against, "unchecked", str(error))
    return replace(
        report, layout=subject.layout.describe(), notes=(*report.notes, *_notes(subject, report))
    )


def _compare(subject: Subject, name: str) -> BackwardReport:
    against = subject.layout.variant.kind
    experiment = Experiment(subject, Sizes())
    error: Exception | None = None
    try:
        observed = experiment.user_gradients()
    except CannotCheckError:
        raise
    except Exception as raised:  # any error of the user's code
        error, experiment = raised, Experiment(subject, _square(subject))
        try:
            observed = experiment.user_gradients()
        except Exception:  # the first error is the one to show
            message = f"the backward pass raises: {own_line(error)}"
            raise CannotCheckError(message) from error
    results = _results(experiment, observed)
    if error is None and all(each.passed for each in results):
        second = replace(experiment, seed=10)
        results = _results(second, second.user_gradients())
    if error is None and all(each.passed for each in results):
        reason = f"every gradient equals that of the {against.upper()}"
        return BackwardReport(name, against, "equal", reason, gradients=results)
    found = _find_mistakes(experiment, observed)
    locations, line_note = _locate(subject, found or ())
    starts = "" if subject.is_step or error is not None else _starts(subject)
    return BackwardReport(
        name,
        against,
        "different",
        _reason(found, results, error),
        gradients=results,
        starts=starts,
        diagnoses=tuple(map(diagnosis_of, found or ())),
        notes=line_note,
        locations=locations,
    )


def _locate(
    subject: Subject, found: Sequence[Candidate]
) -> tuple[tuple[Location, ...], tuple[str, ...]]:
    """The wrong statements, and a note if none is proved."""
    if subject.code.backward is None and not isinstance(subject.code.forward, type):
        return (), ("line-unknown: autograd computes these gradients, not code of yours",)
    try:
        locations = locate(subject, (Sizes(), _square(subject)), changed_terms(found))
    except NoSourceError:
        return (), ("line-unknown: the source of the backward pass cannot be read",)
    if not locations:
        return (), ("line-unknown: no line makes all gradients right if its value is replaced",)
    if len(found) == 1 and len(locations) == 1:
        locations = (replace(locations[0], computes=found[0].way.wrong),)
    return locations, ()


def _square(subject: Subject) -> Sizes:
    """Sizes for which sums over the wrong axis and transposed matrices have the right shapes."""
    gates = 1 if subject.layout.by_gate else len(subject.layout.variant.letters)
    hidden = 4 if gates == 1 else 3
    return Sizes(batch=gates * hidden, input_size=gates * hidden, hidden_size=hidden)


def _find_mistakes(experiment: Experiment, observed: Gradients) -> tuple[Candidate, ...] | None:
    """The mistakes; from a square experiment if a gradient has a wrong shape."""
    simulate = experiment.derivation()
    right = simulate(Edits())
    if any(part.shape != right[name].shape for name, part in observed.items()):
        experiment = Experiment(experiment.subject, _square(experiment.subject))
        try:
            observed = experiment.user_gradients()
        except Exception:  # the code runs only with the first sizes
            return None
        simulate = experiment.derivation()
    pool = candidates(experiment.subject.layout.variant, experiment.subject.is_step)
    return search(observed, simulate, pool, TOLERANCE)


def _results(experiment: Experiment, observed: Gradients) -> tuple[GradientResult, ...]:
    right = experiment.derivation()(Edits())
    code, layout = experiment.subject.code, experiment.subject.layout
    results = []
    for name, role in zip(code.names, layout.roles, strict=True):
        if name in observed:
            difference = relative_difference(observed[name], right[name])
            passed = difference <= TOLERANCE
            detail = "" if passed else _detail(experiment, role, observed[name], right[name])
            results.append(GradientResult(name, role, passed, difference, detail))
    return tuple(results)


def _detail(experiment: Experiment, role: str, got: Any, expected: Any) -> str:
    """In which gates or time steps a gradient is wrong, or its shape."""
    if got.shape != expected.shape:
        return f"its shape is {tuple(got.shape)}, expected {tuple(expected.shape)}"
    layout = experiment.subject.layout
    wrong = (got - expected).abs() > TOLERANCE * max(1.0, float(expected.abs().max()))
    if role == "x" and not experiment.subject.is_step:
        by_step = layout.data_from_user(wrong).flatten(1).any(1)
        steps = [str(t) for t, is_wrong in enumerate(by_step) if is_wrong]
        return f"wrong at time step {', '.join(steps)} of {len(by_step)}"
    letters = layout.variant.letters
    if role in ("x", "h", "c") or "[" in role or len(letters) == 1:
        return ""
    rows = wrong.transpose(0, 1) if layout.columns and wrong.dim() > 1 else wrong
    blocks = rows.reshape(len(letters), -1)
    gates = [letter for n, letter in enumerate(letters) if blocks[layout.gate_order[n]].any()]
    return f"wrong for gate {', '.join(gates)}" if len(gates) < len(letters) else "for every gate"


def _starts(subject: Subject) -> str:
    """At which step of the backward loop the gradients are wrong first, by shorter sequences."""
    steps = Sizes().time
    for time in range(1, steps + 1):
        experiment = Experiment(subject, Sizes(time=time))
        try:
            results = _results(experiment, experiment.user_gradients())
        except Exception:  # code that needs longer sequences
            continue
        if not all(each.passed for each in results):
            if time == 1:
                return "in the first step that the backward pass computes, the last in time"
            return (
                f"where a gradient passes to step T-{time} or a sum contains {time} steps: "
                f"sequences of {time - 1} are right"
            )
    return ""


ELEMENTWISE = frozenset(f"{d}{gate}" for d in ("d", "da_") for gate in "ifgorznhc") - {"dh"}
ELEMENTWISE |= {"dc'_total", "da_c'_total"}
"""Gradients after and before the activation of a gate, and of the cell state."""

OF_STAGE = {  # a stage of the loop -> names of the terms that a mistake in it changes
    "add_hidden": ("dh'",),
    "add_cell": ("dc'", "dc'_total"),
    "upstream": ("dh'", "dc'"),
    "accumulate": ("dW", "returned"),
    "finish": ("dW", "returned", "dx", "dh"),
}


def changed_terms(found: Sequence[Candidate]) -> frozenset[str]:
    """The names of the terms that the mistakes change."""
    names: set[str] = set()
    for each in found:
        for name in each.edits.equations:
            names.add("dW" if name.startswith(("dW_", "db_")) else name)
        for stage in each.edits.loop:
            names |= set(OF_STAGE.get(stage, ()))
    if names & {"dx", "dh", "dW"}:
        names.add("stack")
    gates = {f"da_{name[1:]}" for name in names & ELEMENTWISE}  # di and da_i: often one line
    return frozenset(names | gates)


def diagnosis_of(candidate: Candidate) -> Diagnosis:
    """The diagnosis for a mistake made in one way."""
    mistake, way = candidate.mistake, candidate.way
    return Diagnosis(mistake.id, "", mistake.why, way.right, way.wrong, mistake.fix)


def _reason(
    found: Sequence[Candidate] | None,
    results: Sequence[GradientResult],
    error: Exception | None,
) -> str:
    wrong = ", ".join(each.argument for each in results if not each.passed)
    raises = f"the backward pass raises: {own_line(error)}" if error is not None else ""
    gradients = f"wrong gradients of {wrong}" if wrong else ""
    names = " and ".join(each.mistake.id for each in found or ())
    cause = f"explained by {names}" if found else "cause unknown"
    return "; ".join(filter(None, (raises or gradients, cause)))


def _notes(subject: Subject, report: BackwardReport) -> tuple[str, ...]:
    notes = []
    variant = subject.layout.variant
    if variant.difference:
        notes.append(
            f"the forward pass differs from torch.nn's {variant.kind.upper()}: "
            f"{variant.difference}; the gradients are compared with those of this forward pass"
        )
    compared = {each.argument for each in report.gradients}
    missing = [name for name in subject.code.names if name not in compared]
    if missing:
        notes.append(f"not returned, and not compared: the gradient of {', '.join(missing)}")
    return tuple(notes)
