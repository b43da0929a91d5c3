"""Public entry point: ``verify``, from the user's class to a report."""

import io
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cell_verifier.calling.arguments import Constructor, constructor_of
from cell_verifier.calling.construct import ModuleFactory, name_of
from cell_verifier.checks.check import Check
from cell_verifier.checks.first_difference import first_difference
from cell_verifier.checks.notes import notes
from cell_verifier.checks.run import run_checks
from cell_verifier.errors import CannotCheckError
from cell_verifier.formats.verify import is_program, verify_program
from cell_verifier.functions.adapt import function_factory
from cell_verifier.identification.gradients import gives_gradients
from cell_verifier.identification.identify import Identification, identify
from cell_verifier.identification.outputs import DRAWS_RANDOM_NUMBERS, KEEPS_VALUES
from cell_verifier.identification.subject import Subject
from cell_verifier.localisation.locate import agreement, locate
from cell_verifier.reference.against import Against
from cell_verifier.reference.kinds import KINDS, Kind
from cell_verifier.reference.simulate import max_relative_difference
from cell_verifier.report import Report, Verdict, diagnosis_of
from command_line.errors import own_line


def verify(
    make: ModuleFactory | Any,
    against: Against,
    *,
    weights: Mapping[str, Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
    input_size: int | None = None,
    hidden_size: int | None = None,
    tolerance: float | None = None,
) -> Report:
    """Compare a recurrent cell or layer with torch.nn's and identify the mistakes in it.

    Besides modules, it takes plain functions such as ``step(x, h, Wx, Wh, b)`` or
    ``layer(inputs, state, params)`` and classes with arrays as attributes, of NumPy or of tensors.
    NumPy code is compared on its values.

    The user's code runs in this process, on small random inputs, without a timeout; what it
    prints is discarded. The state of
    torch's random number generator, its number of threads and its gradient mode are restored.

    Args:
        make: a class or function that returns an ``nn.Module`` when called with
            (input_size, hidden_size), or code as above. How it is called is found by trial: a cell
            with x (B, I) or a layer with x (T, B, I) or (B, T, I), with its state in any usual
            nesting.
        against: ``"rnn"`` (with tanh), ``"gru"`` or ``"lstm"``.
        weights: the correspondence of the parameters, if it should not be inferred: the user's
            parameter name -> torch.nn's. ``"weight_hh[forget]"`` is a parameter that holds the rows
            of one gate, ``"weight_ih | weight_hh"`` one that holds both matrices side by side, and
            ``.T`` at the end means that the input axis comes first. Alternatively the module can
            have a method ``load_from_torch(module)`` that copies the weights of torch.nn's module.
            Of a plain function whose arguments have unusual names: the shape of each weight, or an
            array of that shape.
        arguments: values for further arguments of ``make``, by name. Where ``make`` requires others
            than these, a value is passed if the argument's name or annotation makes it clear
            (``output_size``, ``device``, ``n_layers``); a note of the report lists them.
        input_size, hidden_size: the sizes for which ``weights`` gives shapes.
        tolerance: of a program, the largest difference that counts as equal, relative to the
            largest expected element; by default 1e-5 in float32 and 1e-10 in float64.

    A *program* has fixed weights and is only called: the path of an ``.onnx``, ``.pt2`` or
    TorchScript ``.pt`` file; a module that is an instance, also compiled or quantised; an
    ``ExportedProgram``; a layer of Keras; a module of Flax; or any function, if ``weights`` holds
    the arrays that it should compute with, by torch.nn's names (a ``state_dict``). For the others,
    ``weights`` is optional: the weights in the program are found.

    Returns:
        A ``Report``. Its ``verdict`` is ``equal``, ``different``, or
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
    started = time.process_time()
    with isolated_settings():
        try:
            if is_program(make, weights):
                report = _program_report(make, KINDS[against], weights, tolerance)
                return replace(report, seconds=round(time.perf_counter() - started, 3))
            sizes = None if input_size is None or hidden_size is None else (input_size, hidden_size)
            report = _report(make, KINDS[against], weights or {}, arguments or {}, sizes)
        except Exception as error:  # one unusual module must not end a test suite or a notebook
            reason = f"the verification failed, not the module: {_place_and_error(error)}"
            report = Report(name_of(make), against, "unchecked", reason)
    return replace(report, seconds=round(time.process_time() - started, 3))


def _place_and_error(error: Exception) -> str:
    """An unexpected error with its last line, for a report of the defect."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}: {own_line(error)}; please report it"


@contextmanager
def isolated_settings() -> Iterator[None]:
    """Restore the caller's random state, threads and gradient mode afterwards.

    Warnings are ignored and what the user's code prints is discarded: it is called many times.
    One thread: with tensors as small as these, more threads only add overhead.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with (
            torch.random.fork_rng(devices=[]),
            torch.enable_grad(),
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")  # the user's code is called in unusual ways
            yield
    finally:
        torch.set_num_threads(threads)


def _program_report(
    program: Any, kind: Kind, weights: Mapping[str, Any] | None, tolerance: float | None
) -> Report:
    try:
        return verify_program(program, kind, weights, tolerance)
    except CannotCheckError as error:
        return Report(_name_of_program(program), kind.name, "unchecked", str(error))


def _name_of_program(program: Any) -> str:
    return Path(program).name if isinstance(program, str | Path) else name_of(program)


def _report(
    made_by: ModuleFactory,
    kind: Kind,
    weights: Mapping[str, Any],
    arguments: Mapping[str, Any],
    sizes: tuple[int, int] | None,
) -> Report:
    shapes = {name: each for name, each in weights.items() if not isinstance(each, str)}
    mapping = {name: each for name, each in weights.items() if isinstance(each, str)}
    make = Constructor(made_by, arguments)
    try:
        factory = function_factory(made_by, kind, shapes, sizes)
        make = Constructor(factory or made_by, arguments)
        identification = identify(make, kind, mapping or None)
    except CannotCheckError as error:
        return Report(name_of(make), kind.name, "unchecked", str(error))
    subject, mistakes = identification.subject, identification.mistakes
    checks = run_checks(identification)
    failed = [check for check in checks if check.passed is False]
    verdict: Verdict = "different" if mistakes or failed else "equal"
    has_line = subject.has_weights and subject.cause not in (DRAWS_RANDOM_NUMBERS, KEEPS_VALUES)
    locations = locate(identification) if verdict == "different" and has_line else ()
    remarks = () if subject.axis_error else tuple(notes(subject))
    if verdict == "different" and not locations and subject.has_weights:
        only = "" if gives_gradients(subject) else "; lines of NumPy code are not searched"
        remarks = (f"line-unknown: {agreement(identification)}{only}", *remarks)
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


VARIANTS = {
    "peepholes": ": this is a peephole LSTM, whose gates read c, not torch.nn's",
    "coupled-gates": ": this is an LSTM with coupled gates, i = 1 - f, not torch.nn's",
    "reset-before-matmul": ": this is the GRU of Cho et al. (2014), not torch.nn's",
}
"""What a module with one mistake alone is, if that is a published variant."""


def _is_random_in_training(subject: Subject) -> bool:
    """Whether the module returns other values at each call in training mode."""
    experiment = subject.experiment(subject.probe())
    experiment.module.train()
    with torch.no_grad():
        return max_relative_difference(experiment.run_user(), experiment.run_user()) > 0


def _reason(identification: Identification, verdict: Verdict, failed: Sequence[Check]) -> str:
    """The reason for the verdict in one sentence."""
    subject = identification.subject
    torch_name = f"torch.nn's {subject.kind.title}"
    if verdict == "equal":
        part = constructor_of(subject.make).part
        return f"{f'its part {part!r} is ' if part else ''}equal to {torch_name} in every check"
    if subject.axis_error:
        return subject.axis_error
    if identification.mistakes:
        names = " and ".join(dict.fromkeys(each.id for each in identification.mistakes))
        rest = "" if identification.explained else "; its gradients differ, cause unknown"
        known = [VARIANTS[each.id] for each in identification.mistakes if each.id in VARIANTS]
        variant = known[0] if known else ""
        return f"matches {torch_name} with {names}{variant}{rest}"
    if subject.cause:
        return subject.cause
    if subject.explained:
        details = f": {failed[0].detail}" if failed[0].detail else ""
        if [check.name for check in failed] == ["train mode"] and _is_random_in_training(subject):
            details = (
                ": it draws random numbers in training, as recurrent dropout and zoneout do; "
                f"{torch_name} has no dropout inside the loop over time"
            )
        return f"differs in: {'; '.join(check.name for check in failed)}{details}"
    return f"cause unknown; no known mistake matches the differences from {torch_name}"
