"""The checks of what torch.nn's modules take too: unbatched input, packed input, proj_size.

A module that raises for such an input does not offer it, and gets no check.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from cell_verifier.calling.construct import (
    accepts_argument,
    construct_with_test_weights,
    declares_argument,
    default_dtype,
)
from cell_verifier.calling.conventions import CellConvention, LayerConvention
from cell_verifier.calling.nested_tensors import leaves
from cell_verifier.checks.check import Check
from cell_verifier.errors import CannotCheckError
from cell_verifier.identification.subject import Experiment, Subject
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE, Probe
from cell_verifier.reference.simulate import RunResult, max_relative_difference

LENGTHS = (4, 2, 3)
"""Lengths of the samples of the packed input, in time steps; the first is that of the probe."""

PROJ_SIZE = 5
"""The width of h with ``proj_size``: none of the other widths."""


def input_checks(subject: Subject) -> Iterator[Check]:
    """Every check that applies to the module."""
    if subject.loaded is not None or subject.convention.state_nested:
        return
    with torch.no_grad(), default_dtype(subject.precision):
        experiment = subject.experiment(subject.probe(batch=len(LENGTHS)))
        yield from _unbatched(experiment)
        if isinstance(subject.convention, LayerConvention):
            yield from _packed(experiment, subject.convention)
            yield from _projected(subject)


def _unbatched(experiment: Experiment) -> Iterator[Check]:
    """Compare the first sample, passed without a batch axis, with the same sample in a batch."""
    subject, probe = experiment.subject, experiment.probe
    first = Probe(probe.x[:, 0], tuple(part.select(-2, 0) for part in probe.state)).copy()
    convention = subject.convention
    try:
        if isinstance(convention, CellConvention):
            first = Probe(first.x[0], first.state)
            returned = leaves(convention.call(experiment.module, first.x, first.state))
            state = convention.return_layout.parts(returned)
            observed = dict(zip(subject.kind.state, state, strict=True))
        else:
            assert isinstance(convention, LayerConvention)
            returned = leaves(_call_layer(experiment.module, convention, first.x, first.state))
            observed = _named(convention, returned)
    except Exception:  # the module does not take unbatched input
        return
    batched = experiment.run_torch()
    expected = {name: part.select(-2, 0) for name, part in batched.items()}
    if subject.is_cell:
        expected = {name: part[0] for name, part in expected.items()}
    if {n: p.shape for n, p in observed.items()} == {n: expected[n].shape for n in observed}:
        yield _compare(subject, "unbatched", "one sample without a batch axis", observed, expected)


def _packed(experiment: Experiment, convention: LayerConvention) -> Iterator[Check]:
    """Compare a packed input with the samples of the same lengths, one by one."""
    subject, probe = experiment.subject, experiment.probe
    packed = pack_padded_sequence(probe.x, torch.tensor(LENGTHS), enforce_sorted=False)
    try:
        returned = _call_layer(experiment.module, convention, packed, probe.copy().state)
        output = next(each for each in returned if isinstance(each, PackedSequence))
        rest = leaves([each for each in returned if each is not output])
        padded, _ = pad_packed_sequence(output)
    except Exception:  # the module does not take packed input
        return
    differences = []
    for sample, length in enumerate(LENGTHS):
        alone = Probe(
            probe.x[:length, sample : sample + 1],
            tuple(part[:, sample : sample + 1] for part in probe.state),
        )
        expected = Experiment(subject, experiment.module, alone).run_torch()
        observed = {"output": padded[:length, sample : sample + 1]}
        for name, part in zip(subject.kind.state, rest, strict=False):
            observed[name] = part[:, sample : sample + 1]
        differences.append(max_relative_difference(observed, expected))
    tolerance = subject.precision.outputs
    worst = max(differences)
    covers = "a PackedSequence of samples of different lengths"
    yield Check("packed", covers, worst <= tolerance, worst, tolerance)


def _projected(subject: Subject) -> Iterator[Check]:
    """Compare an LSTM with ``proj_size``; its parameters are matched by shape."""
    if subject.kind.name != "lstm" or not accepts_argument(subject.make, "proj_size"):
        return
    name, covers = "proj_size", f"proj_size={PROJ_SIZE}: outputs and final states"
    try:
        module = construct_with_test_weights(subject.make, subject.precision, proj_size=PROJ_SIZE)
    except CannotCheckError as error:
        if declares_argument(subject.make, "proj_size"):
            yield Check(name, covers, False, detail=str(error))
        return
    reference = nn.LSTM(INPUT_SIZE, HIDDEN_SIZE, proj_size=PROJ_SIZE)
    by_shape = sorted(module.parameters(), key=lambda part: part.shape)
    wanted = sorted(reference.parameters(), key=lambda part: part.shape)
    if [part.shape for part in by_shape] != [part.shape for part in wanted]:
        yield Check(name, covers, None, detail="the parameters do not have torch.nn's shapes")
        return
    for part, target in zip(by_shape, wanted, strict=True):  # only the two biases are alike
        target.copy_(part)
    probe = subject.probe()
    state = (probe.state[0][..., :PROJ_SIZE], probe.state[1])
    output, (h, c) = reference(probe.x, state)
    try:
        assert isinstance(subject.convention, LayerConvention)
        returned = leaves(_call_layer(module, subject.convention, probe.x, state))
        parts = dict(zip(("output", "h", "c"), returned, strict=True))
    except Exception as error:
        yield Check(name, covers, False, detail=f"raises: {type(error).__name__}: {error}")
        return
    if subject.convention.batch_first:
        parts["output"] = parts["output"].transpose(0, 1)
    yield _compare(subject, name, covers, parts, {"output": output, "h": h, "c": c})


def _call_layer(
    module: nn.Module, convention: LayerConvention, x: Any, state: tuple[Tensor, ...]
) -> Any:
    """Call a layer with x and a state that already have the shapes to be passed."""
    if isinstance(x, Tensor) and x.dim() == 3 and convention.batch_first:
        x = x.transpose(0, 1)
    if not convention.takes_state:
        return module(x)
    return convention.argument_order.call(module, x, state)


def _named(convention: LayerConvention, returned: list[Tensor]) -> RunResult:
    observed = {}
    if convention.output is not None:
        observed["output"] = returned[convention.output]
    for name, index in zip(convention.kind.state, convention.state, strict=False):
        observed[name] = returned[index]
    return observed


def _compare(
    subject: Subject, name: str, covers: str, observed: RunResult, expected: RunResult
) -> Check:
    difference = max_relative_difference(observed, expected)
    tolerance = subject.precision.outputs
    return Check(name, covers, difference <= tolerance, difference, tolerance)
