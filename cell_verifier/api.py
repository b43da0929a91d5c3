"""Public entry point: ``verify``, from the user's class to a report."""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch

from cell_verifier.calling.construct import ModuleFactory, name_of
from cell_verifier.checks import run_checks
from cell_verifier.checks.check import Check
from cell_verifier.checks.first_difference import first_difference
from cell_verifier.checks.notes import notes
from cell_verifier.errors import CannotCheckError
from cell_verifier.identification.identify import Identification, identify
from cell_verifier.localisation.locate import agreement, locate
from cell_verifier.reference.kinds import KINDS, Against, Kind
from cell_verifier.report import Report, Verdict, diagnosis_of


def verify(
    make: ModuleFactory, against: Against, *, weights: Mapping[str, str] | None = None
) -> Report:
    """Compare a recurrent cell or layer with torch.nn's and identify the mistakes in it.

    The user's code runs in this process, on small random inputs, without a timeout. The state of
    torch's random number generator, its number of threads and its gradient mode are restored.

    Args:
        make: a class or function that returns an ``nn.Module`` when called with
            (input_size, hidden_size). How the module is called is discovered by trial: a cell with
            x (B, I) or a layer with x (T, B, I) or (B, T, I), with its state in any usual nesting.
        against: ``"rnn"`` (with tanh), ``"gru"`` or ``"lstm"``.
        weights: the correspondence of the parameters, if it should not be inferred: the user's
            parameter name -> torch.nn's. ``"weight_hh[forget]"`` is a parameter that holds the rows
            of one gate, ``"weight_ih | weight_hh"`` one that holds both matrices side by side, and
            ``.T`` at the end means that the input axis comes first. Alternatively the module can
            have a method ``load_from_torch(module)`` that copies the weights of torch.nn's module.

    Returns:
        A :class:`~cell_verifier.report.Report`. Its ``verdict`` is ``equal``, ``different``, or
        ``unchecked`` if the module does not construct or run, or its parameters cannot be matched;
        ``reason`` then holds the error of the user's code. ``mistakes`` are the ids of the mistakes
        found, and ``diagnoses`` explain them; ``locations`` are the wrong lines that are proved.

    Raises:
        ValueError: ``against`` is not one of the three names.

    Example:
        >>> verify(torch.nn.LSTMCell, against="lstm").verdict
        'equal'
        >>> verify(torch.nn.LSTMCell, against="lstm").raise_if_different()  # for a test suite
    """
    if against not in KINDS:
        raise ValueError(f"against is {against!r}: expected one of {', '.join(KINDS)}")
    started = time.perf_counter()
    with _isolated_settings():
        report = _report(make, KINDS[against], weights)
    return replace(report, seconds=round(time.perf_counter() - started, 3))


@contextmanager
def _isolated_settings() -> Iterator[None]:
    """Restore the caller's random state, threads and gradient mode afterwards; ignore warnings.

    One thread: with tensors as small as these, more threads only add overhead.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the user's code is called in unusual ways
            yield
    finally:
        torch.set_num_threads(threads)


def _report(make: ModuleFactory, kind: Kind, mapping: Mapping[str, str] | None) -> Report:
    try:
        identification = identify(make, kind, mapping)
    except CannotCheckError as error:
        return Report(name_of(make), kind.name, "unchecked", str(error))
    subject, mistakes = identification.subject, identification.mistakes
    checks = run_checks(identification)
    failed = [check for check in checks if check.passed is False]
    verdict: Verdict = "different" if mistakes or failed else "equal"
    locations = locate(identification) if verdict == "different" else ()
    remarks = () if subject.axis_error else tuple(notes(subject))
    if verdict == "different" and not locations:
        remarks = (f"line-unknown: {agreement(identification)}", *remarks)
    return Report(
        subject=name_of(make),
        against=kind.name,
        verdict=verdict,
        reason=_reason(identification, verdict, failed),
        convention=subject.convention.describe(),
        weights=subject.correspondence.as_mapping(),
        diagnoses=tuple(map(diagnosis_of, mistakes)),
        checks=checks,
        notes=remarks,
        first_difference=first_difference(identification) if failed else None,
        locations=locations,
    )


def _reason(identification: Identification, verdict: Verdict, failed: Sequence[Check]) -> str:
    """The reason for the verdict in one sentence."""
    subject = identification.subject
    torch_name = f"torch.nn's {subject.kind.title}"
    if verdict == "equal":
        return f"equal to {torch_name} in every check"
    if subject.axis_error:
        return subject.axis_error
    if identification.mistakes:
        names = " and ".join(dict.fromkeys(each.id for each in identification.mistakes))
        rest = "" if identification.explained else "; its gradients differ, cause unknown"
        return f"matches {torch_name} with {names}{rest}"
    if subject.unexplained_parameters:
        return subject.unexplained_parameters
    if subject.explained:
        return f"cause unknown; differs in: {'; '.join(check.name for check in failed)}"
    return f"cause unknown; no known mistake matches the differences from {torch_name}"
