"""Verify a program: open it, find its weights, discover the call, compare, explain, report."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cell_verifier.checks.check import Check
from cell_verifier.errors import CannotCheckError
from cell_verifier.formats import callables, faults
from cell_verifier.formats.calling import ProgramConvention, conventions
from cell_verifier.formats.checks import BATCHES, LENGTHS, Comparison, count, double, program_checks
from cell_verifier.formats.faults import SAME
from cell_verifier.formats.onnx_file import open_onnx
from cell_verifier.formats.program import Program
from cell_verifier.formats.torch_program import (
    exported_program,
    module_program,
    open_pt2,
    open_torchscript,
)
from cell_verifier.formats.weights import TORCH_NAME, LayerWeights, by_shape, by_torch_names
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import FLOAT32, FLOAT64
from cell_verifier.report import Diagnosis, Report

TOLERANCES = {
    torch.float64: FLOAT64.outputs,
    torch.float32: FLOAT32.outputs,
    torch.float16: 5e-3,
    torch.bfloat16: 3e-2,
}
"""The default tolerance by dtype, relative to the largest expected element."""

MIN_MATCH, MAX_MATCH = 1e-5, 0.05
"""Tolerance for the equations with a known mistake: that of the comparison, within this range."""


MAX_TRIED = 4
"""How many conventions are tried with every mistake, to bound the time."""


def is_program(subject: object, weights: Mapping[str, Any] | None) -> bool:
    """Whether ``verify`` is given a program, not a class or function to construct modules with.

    A function is a program if the given weights have torch.nn's names, and these names are not
    those of its own arguments.
    """
    if isinstance(subject, str | Path | nn.Module | torch.export.ExportedProgram):
        return True
    if isinstance(subject, type):
        return False
    if callables.is_keras(subject) or callables.is_flax(subject):
        return True
    given = {name: value for name, value in (weights or {}).items() if not isinstance(value, str)}
    return (
        bool(given)
        and all(TORCH_NAME.fullmatch(name) and _is_array(each) for name, each in given.items())
        and not set(given) & set(_argument_names(subject))
    )


def _is_array(value: object) -> bool:
    return hasattr(value, "shape")


def _argument_names(function: Any) -> Sequence[str]:
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # a function of C
        return ()


def verify_program(
    subject: Any,
    kind: Kind,
    given: Mapping[str, Any] | None = None,
    tolerance: float | None = None,
    nonlinearity: str = "tanh",
) -> Report:
    """Verify a program.

    Args:
        subject: a path, a module, an exported program, a layer of Keras or Flax, or a function.
        kind: what it should equal.
        given: the weights that it should have, by torch.nn's names; those in it if None.
        tolerance: the largest difference relative to the largest expected element.
        nonlinearity: of an RNN.

    Raises:
        CannotCheckError: it cannot be loaded or called, or its weights cannot be found.
    """
    program = _open(subject, kind, given)
    if program.module is not None and hasattr(program.module, "eval"):
        program.module.eval()
    if tolerance is None:
        tolerance = TOLERANCES[program.dtype]
    comparison, notes = _find(program, kind, given, tolerance, nonlinearity)
    checks = program_checks(comparison)
    worst = max((check.difference or 0.0 for check in checks[:1]), default=0.0)
    if tolerance > FLOAT32.outputs and worst < SAME:
        notes.append(f"tolerance: the difference is {worst:.0e}, so that nothing is quantised")
    failed = [check for check in checks if check.passed is False]
    diagnoses = _diagnoses(comparison, checks) if failed else ()
    return Report(
        subject=program.name,
        against=kind.name,
        verdict="different" if failed else "equal",
        reason=_reason(comparison, failed, diagnoses),
        convention=comparison.convention.describe(),
        weights=comparison.weights.names,
        diagnoses=diagnoses,
        checks=checks,
        notes=(*(f"operator: {hint}" for hint in program.hints), *notes),
    )


def _open(subject: Any, kind: Kind, given: Mapping[str, Any] | None) -> Program:
    if isinstance(subject, str | Path):
        return _open_file(Path(subject), kind)
    if isinstance(subject, torch.export.ExportedProgram):
        return exported_program(subject, "ExportedProgram")
    if callables.is_keras(subject):  # with torch as Keras's backend, it is an nn.Module, too
        return callables.keras_program(subject, kind)
    if isinstance(subject, nn.Module):
        return module_program(subject)
    if callables.is_flax(subject):
        return callables.flax_program(subject, kind)
    takes_arrays = not any(isinstance(each, torch.Tensor) for each in (given or {}).values())
    return callables.function_program(subject, takes_arrays)


def _open_file(path: Path, kind: Kind) -> Program:
    if not path.is_file():
        raise CannotCheckError(f"{path} is not a file: give the path of an exported layer")
    match path.suffix:
        case ".onnx":
            return open_onnx(path, kind)
        case ".pt2":
            return open_pt2(path)
        case ".pt" | ".pth" | ".ts":
            return open_torchscript(path)
    raise CannotCheckError(f"{path} has an unknown suffix: expected .onnx, .pt2 or .pt")


def _find(
    program: Program,
    kind: Kind,
    given: Mapping[str, Any] | None,
    tolerance: float,
    nonlinearity: str,
) -> tuple[Comparison, list[str]]:
    """The program with its weights and its convention, and notes on them."""
    notes = []
    if given:
        weights = by_torch_names(kind, given)
        if weights is None:
            raise CannotCheckError(
                f"the given weights {', '.join(list(given)[:4])} do not have torch.nn's names, "
                "such as weight_ih_l0: rename them"
            )
        candidates = [weights]
    elif program.weights is not None:
        candidates = [program.weights]
    elif (weights := by_torch_names(kind, program.arrays)) is not None:
        candidates = [weights]
    else:
        candidates = list(by_shape(kind, program.arrays))
        if not candidates:
            raise callables.without_weights(program.name)
        notes.append("weights: found by shape and value, because they have no names of torch.nn")
    for each in candidates:
        each.check_sizes()
    comparison = _closest(program, kind, candidates, tolerance, nonlinearity)
    weights = comparison.weights
    has_bias = any("bias" in target for target in weights.names.values())
    if has_bias and not any(bool(w.b_ih.any() or w.b_hh.any()) for w in weights.cells):
        notes.append("biases: all are zero, so that a lost bias would not be seen")
    return comparison, notes


def _closest(
    program: Program,
    kind: Kind,
    candidates: Sequence[LayerWeights],
    tolerance: float,
    nonlinearity: str,
) -> Comparison:
    """The reading of the weights and the convention that match torch.nn's outputs best.

    If none matches: the first of the best that a known mistake explains. A wrong program may accept
    both layouts of x, and its differences do not show which one is right.
    """
    found: dict[int, list[ProgramConvention]] = {}
    tried: list[tuple[float, Comparison]] = []
    for weights in candidates:
        size = weights.input_size  # the conventions depend on it alone
        if size not in found:
            try:
                found[size] = conventions(program, kind, weights)
            except CannotCheckError:
                if len(candidates) == 1:
                    raise
                found[size] = []
        for convention in found[size]:
            comparison = Comparison(program, kind, weights, convention, tolerance, nonlinearity)
            difference = comparison.difference(comparison.probe(convention.time, convention.batch))
            if difference <= tolerance:
                return comparison
            tried.append((difference, comparison))
    if not tried:
        raise callables.without_weights(program.name)
    best = [comparison for _, comparison in sorted(tried, key=lambda each: each[0])[:MAX_TRIED]]
    return next((each for each in best if _mistake(each)), best[0])


def _diagnoses(comparison: Comparison, checks: Sequence[Check]) -> tuple[Diagnosis, ...]:
    """Why the failed checks fail; empty if that is unknown."""
    by_name = {check.name: check for check in checks}
    convention = comparison.convention
    found = []
    if by_name["outputs"].passed:
        for fault, names, size in (
            (faults.FROZEN_LENGTH, LENGTHS, count(convention.time, "time step")),
            (faults.FROZEN_BATCH, BATCHES, count(convention.batch, "sample")),
        ):
            failed = [by_name[name] for name in names if by_name[name].passed is False]
            if failed:
                detail = f"right for {size}; {_failure(failed)}"
                found.append(replace(fault, detail=detail))
    repeated = by_name["deterministic"]
    if repeated.passed is False and repeated.difference is not None:
        found.append(faults.DROPOUT_ACTIVE)
    if found or by_name["outputs"].passed:
        return tuple(found)
    mistake = _mistake(comparison)
    return () if mistake is None else (mistake,)


def _mistake(comparison: Comparison) -> Diagnosis | None:
    """The mistake that explains the outputs, if a known one does."""
    convention = comparison.convention
    probe = comparison.probe(convention.time, convention.batch)
    return faults.diagnose(
        comparison.observed(probe),
        comparison.kind,
        comparison.weights,
        double(probe),
        comparison.config,
        min(max(comparison.tolerance, MIN_MATCH), MAX_MATCH),
    )


def _failure(failed: Sequence[Check]) -> str:
    returned = [check for check in failed if not check.detail.startswith("raises")]
    first = (returned or failed)[0]
    return f"{first.covers}: {first.detail or f'differs by {first.difference:.1e}'}"


def _reason(comparison: Comparison, failed: Sequence[Check], diagnoses: Sequence[Diagnosis]) -> str:
    title = f"torch.nn's {comparison.kind.title}"
    if not failed:
        return f"equal to {title} in every check, to a tolerance of {comparison.tolerance:.0e}"
    if diagnoses:
        frozen = [each for each in diagnoses if each.id.startswith("frozen")]
        if frozen:
            sizes = " and ".join(each.detail.partition(";")[0] for each in frozen)
            return f"{sizes} only: {' and '.join(each.id for each in frozen)}"
        names = " and ".join(each.id for each in diagnoses)
        return f"matches {title} with {names}"
    if comparison.program.hints:
        return f"differs from {title}: {comparison.program.hints[0]}"
    worst = max((check.difference or 0.0 for check in failed), default=0.0)
    if comparison.tolerance > FLOAT32.outputs:
        allowed = f"the tolerance of {comparison.tolerance:.0e}"
        return f"differs from {title} by {worst:.1e}, more than {allowed}"
    if comparison.program.is_quantised:
        return (
            f"differs from {title} by {worst:.1e}; it is quantised: give the tolerance that its "
            "use permits, as tolerance=... or --tolerance"
        )
    return f"cause unknown; differs from {title} in: {'; '.join(check.name for check in failed)}"
