"""What only a layer has: batch_first, several layers, two directions, dropout between layers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import torch

from cell_verifier.calling.construct import build, names, takes, working_in
from cell_verifier.calling.conventions import LayerConvention
from cell_verifier.calling.discover import Attempts, layer_trials
from cell_verifier.calling.multi_layer import run_stack
from cell_verifier.errors import CannotCheckError
from cell_verifier.identification.identify import takes_state
from cell_verifier.identification.search import Made, Question, search
from cell_verifier.identification.subject import Subject
from cell_verifier.mistakes.catalogue import (
    CATALOGUE,
    Change,
    Variant,
    compatible,
    stages_of,
    variants,
    weights_of,
)
from cell_verifier.parameters.correspondence import named_parameters
from cell_verifier.parameters.multi_layer import Arrangement, arrangements
from cell_verifier.reference.probes import (
    HIDDEN_SIZE,
    INPUT_SIZE,
    Probe,
    draw_probe,
    fill_weights,
)
from cell_verifier.reference.simulate import Observation, Stack, relative, run_layer
from cell_verifier.reference.torch_modules import run_torch_layer
from cell_verifier.report import Check
from command_line.errors import own_line

STACKS = (Stack(2, 1), Stack(1, 2), Stack(2, 2))


@dataclass(frozen=True)
class LayerResult:
    """One check of a layer, and the mistakes that it brought to light."""

    check: Check
    made: Made = ()


def layer_results(subject: Subject) -> Iterator[LayerResult]:
    """Every check that a layer's constructor allows."""
    if subject.is_cell:
        return
    yield from _axis_results(subject)
    if subject.loaded is not None:
        return
    several, both = takes(subject.make, "num_layers"), takes(subject.make, "bidirectional")
    for stack in STACKS:
        if (several or stack.layers == 1) and (both or stack.directions == 1):
            yield _stack_result(subject, stack)
    if takes(subject.make, "dropout"):
        yield _stack_result(subject, Stack(2 if several else 1, dropout=1.0))


# ------------------------------------------------------------------------------- batch_first


def _axis_results(subject: Subject) -> Iterator[LayerResult]:
    if takes(subject.make, "batch_first"):
        for said in (False, True):
            yield _axis_result(subject, said, {"batch_first": said})
        return
    said_by_itself = getattr(subject.build(), "batch_first", None)
    if isinstance(said_by_itself, bool):
        yield _axis_result(subject, said_by_itself, {})


def _axis_result(subject: Subject, said: bool, options: dict[str, Any]) -> LayerResult:
    covers = f"batch_first={said}: input and outputs are " + (
        "(batch, time, features)" if said else "(time, batch, features)"
    )
    module = build(subject.make, subject.precision, **options)
    fill_weights(module)
    if subject.loaded is not None:
        return LayerResult(Check("batch_first", covers, None, detail="weights were loaded"))
    attempts = Attempts(module)
    probe = draw_probe(subject.kind, cells=1, dtype=subject.precision.dtype)
    with torch.no_grad(), working_in(subject.precision):
        trials = layer_trials(attempts, subject.kind, probe, takes_state(module))
        weights = subject.weights(named_parameters(module))
        stacked = type(weights)(*(part.unsqueeze(0) for part in weights))
        question = Question(
            subject.kind,
            probe,
            trials,
            [subject.correspondence],
            stacked,
            tolerance=subject.precision.reproduced,
        )
        found = search(question, most=1) if len(subject.made) < 2 else search(question)
    if not trials:
        detail = f"raises: {own_line(attempts.errors[0])}" if attempts.errors else "does not run"
        return LayerResult(Check("batch_first", covers, False, detail=detail))
    if found is None:
        detail = "" if subject.explained else "the cell differs already"
        return LayerResult(
            Check("batch_first", covers, False, detail=detail or "cause unknown"), ()
        )
    convention = found.trial.convention
    assert isinstance(convention, LayerConvention)
    if convention.batch_first != said:
        walked = Change(
            f"batch_first={said} is said, and axis {0 if said else 1} is walked as time"
        )
        mixup = Variant(CATALOGUE["batch-time-mixup"], walked)
        return LayerResult(Check("batch_first", covers, False, detail=walked.detail), (mixup,))
    more = tuple(each for each in found.made if each.id not in {one.id for one in subject.made})
    return LayerResult(Check("batch_first", covers, not more), more)


# -------------------------------------------------------------------- layers and directions


def _stack_result(subject: Subject, stack: Stack) -> LayerResult:
    result = _run_stack(subject, stack, INPUT_SIZE)
    if result.check.detail.startswith("raises"):
        # A later layer that is fed x runs only where x is as wide as h.
        square = _run_stack(subject, stack, HIDDEN_SIZE)
        result = square if square.made else result
    return _only_inherited(subject, stack, result)


def _only_inherited(subject: Subject, stack: Stack, result: LayerResult) -> LayerResult:
    """No failure where the argument is one that a base class takes and this class does not heed."""
    check = result.check
    if check.passed is not False or result.made or not subject.explained:
        return result
    if all(names(subject.make, option) for option in _options(subject, stack)):
        return result
    if check.detail.startswith("raises") or _ignored(subject, stack):
        detail = f"arguments of a base class that this class does not follow; {check.detail}"
        return LayerResult(replace(check, passed=None, difference=None, detail=detail))
    return result


def _ignored(subject: Subject, stack: Stack) -> bool:
    """Whether the other cells' parameters, or the dropout, change nothing."""
    module = build(subject.make, subject.precision, **_options(subject, stack))
    fill_weights(module)
    probe = draw_probe(
        subject.kind, cells=stack.layers * stack.directions, dtype=subject.precision.dtype
    )
    first = named_parameters(subject.build())
    assert isinstance(subject.convention, LayerConvention)
    with torch.no_grad(), working_in(subject.precision):
        before = run_stack(module, subject.convention, probe, stack)
        module.train(bool(stack.dropout))
        for name, parameter in module.named_parameters():
            if not stack.dropout and name not in first:
                parameter.add_(1.0)
        after = run_stack(module, subject.convention, probe, stack)
    return relative(after, before) == 0.0


def _run_stack(subject: Subject, stack: Stack, input_size: int) -> LayerResult:
    convention = subject.convention
    assert isinstance(convention, LayerConvention)
    name, covers = _title(stack)
    options = _options(subject, stack)
    try:
        module = build(subject.make, subject.precision, input_size, **options)
    except CannotCheckError as error:
        return LayerResult(Check(name, covers, False, detail=f"raises: {error}"))
    fill_weights(module)
    if stack.dropout:
        module.train()
    probe = draw_probe(
        subject.kind,
        cells=stack.layers * stack.directions,
        input_size=input_size,
        dtype=subject.precision.dtype,
    )
    probe = probe if convention.takes_state else probe.zero_state()
    parameters = named_parameters(module)
    base_names = list(named_parameters(subject.build()))
    found = list(arrangements(subject.correspondence, base_names, parameters, stack, input_size))
    if not found:
        return LayerResult(_no_arrangement(name, covers, len(parameters), len(base_names)))
    with torch.no_grad(), working_in(subject.precision):
        try:
            observed = run_stack(module, convention, probe, stack)
        except Exception as error:
            return LayerResult(Check(name, covers, False, detail=f"raises: {own_line(error)}"))
        if not observed:
            return LayerResult(
                Check(
                    name, covers, False, detail="returns no outputs or states of torch.nn's shapes"
                )
            )
        match = _match(subject, found, parameters, observed, probe, stack)
        arrangement, made = match if match is not None else (found[0], ())
        difference = None
        if arrangement.like_torch(stack):
            weights = arrangement.read(parameters)
            expected = run_torch_layer(
                subject.kind, weights, probe, stack, training=module.training
            )
            difference = relative(observed, expected)
    passed = difference is not None and difference <= subject.precision.outputs
    detail = "" if passed or made or not subject.explained or subject.made else "cause unknown"
    if difference is None:
        detail = "a later layer's input weight has another width than torch.nn's"
    return LayerResult(
        Check(name, covers, passed, difference, subject.precision.outputs, detail), made
    )


def _title(stack: Stack) -> tuple[str, str]:
    if stack.dropout:
        return "dropout", "dropout of 1 in training: falls between layers, nowhere else"
    words = [f"{stack.layers} layers"] if stack.layers > 1 else []
    words += ["2 directions"] if stack.directions > 1 else []
    name = ", ".join(words)
    return name, f"{name}: outputs at every step and final states"


def _options(subject: Subject, stack: Stack) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if stack.layers > 1:
        options["num_layers"] = stack.layers
    if stack.directions > 1:
        options["bidirectional"] = True
    if stack.dropout:
        options["dropout"] = stack.dropout
    return options


def _no_arrangement(name: str, covers: str, count: int, base: int) -> Check:
    if count == base and name != "dropout":
        return Check(name, covers, False, detail="makes no more parameters than a single cell")
    return Check(
        name, covers, None, detail="the parameters of the single cells were not found in the stack"
    )


def _match(
    subject: Subject,
    found: Sequence[Arrangement],
    parameters: dict[str, torch.Tensor],
    observed: Observation,
    probe: Probe,
    stack: Stack,
) -> tuple[Arrangement, Made] | None:
    """The arrangement and the mistakes, besides the cell's own, that give the user's numbers."""
    known = [
        each
        for each in variants(subject.kind.name, "stack")
        if (each.id == "dropout-on-last-layer") == bool(stack.dropout)
    ]
    pairs = [pair for pair in combinations(known, 2) if compatible(*pair)]
    for more in ((), *((each,) for each in known), *pairs):
        for arrangement in found:
            if not more and not arrangement.like_torch(stack):
                continue
            made = (*subject.made, *more)
            weights = [weights_of(made, w) for w in arrangement.read(parameters)]
            turned = replace(stack, batch_first=getattr(subject.convention, "batch_first", False))
            try:
                shown = run_layer(subject.kind, weights, probe, stages_of(made), turned)
            except RuntimeError:  # this arrangement's widths do not fit these mistakes
                continue
            if relative(observed, shown) <= subject.precision.reproduced:
                return arrangement, more
    return None
