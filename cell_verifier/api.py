"""``verify``: from the user's class to a report, and nothing calls back up."""

import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch

import cell_verifier.mistakes.layer
import cell_verifier.mistakes.step
import cell_verifier.mistakes.weights  # noqa: F401  - these three fill the catalogue
from cell_verifier.calling.construct import Make, name_of
from cell_verifier.checks.cell import checks
from cell_verifier.checks.first_difference import diagnosis_of, first_difference
from cell_verifier.checks.gradients import gradient_mistakes
from cell_verifier.checks.layer import layer_results
from cell_verifier.checks.notes import notes
from cell_verifier.errors import CannotCheckError
from cell_verifier.identification.identify import identify, square_probe_finds
from cell_verifier.identification.search import Made
from cell_verifier.identification.subject import Subject
from cell_verifier.mistakes.catalogue import CATALOGUE, Change, Variant
from cell_verifier.reference.kinds import KINDS, Against, Kind
from cell_verifier.report import Check, Report, Verdict


def verify(make: Make, against: Against, *, weights: Mapping[str, str] | None = None) -> Report:
    """Compare a recurrent cell or layer with torch.nn's, and say what is wrong with it.

    Args:
        make: any class or function that gives an ``nn.Module`` when called with
            (input_size, hidden_size). How the module is called is found by trying: a cell or a
            layer, time-first or batch-first, its state in any usual nesting.
        against: ``"rnn"`` (tanh), ``"gru"`` or ``"lstm"``.
        weights: where each parameter belongs, if that is not to be found by trying: the user's
            name -> torch.nn's (``"weight_ih"``, ``"weight_hh[forget]"``,
            ``"weight_ih | weight_hh"``, with ``.T`` where the input's axis comes first). A method
            ``load_from_torch(module)`` of the user's module serves as well.

    Returns:
        A :class:`~cell_verifier.report.Report`; its verdict is ``equal``, ``different`` or
        ``unchecked``.

    Raises:
        ValueError: ``against`` is none of the three.
    """
    if against not in KINDS:
        raise ValueError(f"against is {against!r}: expected one of {', '.join(KINDS)}")
    started = time.perf_counter()
    with _quietly():
        report = _report(make, KINDS[against], weights)
    return replace(report, seconds=round(time.perf_counter() - started, 3))


@contextmanager
def _quietly() -> Iterator[None]:
    """Leave the caller's random numbers, threads and gradient mode as they were; warn of nothing.

    One thread: for tensors as small as these a second one only waits.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the user's code is called in unusual ways
            yield
    finally:
        torch.set_num_threads(threads)


def _report(make: Make, kind: Kind, weights: Mapping[str, str] | None) -> Report:
    try:
        subject = identify(make, kind, weights)
    except CannotCheckError as error:
        mixed_up = None if weights else square_probe_finds(make, kind)
        if mixed_up is None:
            return Report(name_of(make), kind.name, "unchecked", str(error))
        return _square_report(mixed_up, str(error))
    return _judge(subject)


def _judge(subject: Subject) -> Report:
    made, gradients_known = _all_mistakes(subject)
    layers = list(layer_results(subject)) if subject.explained else []
    for result in layers:
        known = {each.id for each in made}
        made = (*made, *(each for each in result.made if each.id not in known))
    compared = (*checks(subject), *(result.check for result in layers))
    failed = [check for check in compared if check.passed is False]
    verdict: Verdict = "different" if made or failed else "equal"
    # A cell whose numbers are explained can still fail a check that its mistakes do not explain.
    explained = subject.explained and gradients_known
    return Report(
        subject=name_of(subject.make),
        against=subject.kind.name,
        verdict=verdict,
        reason=_reason(subject, verdict, made, failed, explained),
        convention=subject.convention.describe(),
        weights=subject.correspondence.lines(),
        diagnoses=tuple(map(diagnosis_of, made)),
        checks=compared,
        notes=tuple(notes(subject)),
        first_difference=first_difference(subject, made) if failed else None,
    )


def _all_mistakes(subject: Subject) -> tuple[Made, bool]:
    """Those of the numbers and those of the gradients, and whether the latter are explained."""
    if not subject.explained:
        return (), False
    try:
        more = gradient_mistakes(subject, subject.probe(time=6), subject.precision)
    except Exception:  # backward raises: the check of the gradients says so
        more = None
    return (*subject.made, *(more or ())), more is not None


def _reason(
    subject: Subject, verdict: Verdict, made: Made, failed: list[Check], explained: bool
) -> str:
    against = f"torch.nn's {subject.kind.title}"
    if verdict == "equal":
        return f"equal to {against} in everything compared"
    if made:
        names = " and ".join(dict.fromkeys(each.id for each in made))
        rest = "" if explained else "; the gradients differ beyond that, cause unknown"
        return f"{against} with {names} gives the same numbers{rest}"
    if subject.beyond:
        return f"different: {subject.beyond}"
    if subject.explained:
        return f"different in: {', '.join(check.name for check in failed)}; cause unknown"
    return f"different from {against}, cause unknown: no known mistake gives the same numbers"


def _square_report(subject: Subject, error: str) -> Report:
    """A layer that runs, and is torch.nn's, only where there are as many steps as samples."""
    walked = Change("one line takes an axis for time, another takes it for the batch")
    made = subject.made or (Variant(CATALOGUE["batch-time-mixup"], walked),)
    return Report(
        subject=name_of(subject.make),
        against=subject.kind.name,
        verdict="different",
        reason=error,
        convention=subject.convention.describe(),
        weights=subject.correspondence.lines(),
        diagnoses=tuple(map(diagnosis_of, made)),
        checks=(Check("outputs", "more steps than samples", False, detail=error),),
    )
