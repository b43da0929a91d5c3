"""Locate the mistakes that only a layer with several layers, directions or dropout shows."""

import time
from collections.abc import Iterator, Sequence

from cell_verifier.identification.multi_layer import LayerMatch
from cell_verifier.identification.subject import Subject
from cell_verifier.localisation.layers.bench import LayerBench, names_of_parameters
from cell_verifier.localisation.layers.fields import cell_name
from cell_verifier.localisation.layers.places import place_of
from cell_verifier.localisation.layers.search import (
    LayerFinding,
    name_of_value,
    proved_in_layers,
)
from cell_verifier.localisation.location import Location
from cell_verifier.localisation.recorder import Interventions
from cell_verifier.localisation.source import statement_at

INTERPRETATIONS = 2
"""A list of states can be sorted by cell or by part."""


def locate_in_layers(
    subject: Subject, matches: Sequence[LayerMatch], deadline: float
) -> tuple[Location, ...]:
    """The wrong lines of the configurations that differ; each line once, in the simplest one.

    Two layers in two directions are only searched if neither alone shows a mistake.
    """
    by_place: dict[tuple[str, int], Location] = {}
    for match in matches:
        several = match.config.num_layers > 1 and match.config.num_directions > 1
        if match.run is None or (match.matched and not match.mistakes) or (several and by_place):
            continue
        for each in _locate(subject, match, deadline):
            by_place.setdefault((each.file, each.line), each)
    return tuple(by_place.values())


def _locate(subject: Subject, match: LayerMatch, deadline: float) -> Iterator[Location]:
    assert match.run is not None
    size = match.run.probe.x.size(-1)
    for n in range(INTERPRETATIONS):
        bench = LayerBench(subject, match, match.run.arrangement, size, interpretation=n)
        if not bench.operations or bench.is_right(Interventions()):
            return
        findings = proved_in_layers(bench, deadline)
        first = next(findings, None)
        if first is not None:
            yield _location(bench, first, findings)
            return
        if time.thread_time() > deadline:
            return


def _location(bench: LayerBench, finding: LayerFinding, others: Iterator[LayerFinding]) -> Location:
    finding, (file, line) = place_of(bench, finding, others)
    statement = statement_at(file, line)
    computes, expected = name_of_value(bench, finding), finding.expected
    if finding.weights:
        computes, expected = _weights_in_words(bench, finding)
    return Location(
        file, statement.line, statement.end_line, statement.text, computes, expected, proved=True
    )


def _weights_in_words(bench: LayerBench, finding: LayerFinding) -> tuple[str, str]:
    """Which weights are used in which cell, and which should be."""
    own = names_of_parameters(bench)
    by_identity = {id(part): name for name, part in bench.module.named_parameters()}
    pairs: dict[str, str] = {}
    for change in finding.changes:
        if change.operation.identities[0][change.element] not in by_identity:
            break
        used = by_identity[change.operation.identities[0][change.element]]
        wanted = next(n for n, p in bench.parameters.items() if p is change.value(bench))
        pairs.setdefault(used, wanted)
    cell = divmod(own[next(iter(pairs.values()))][0], bench.config.num_directions)
    used, wanted = (
        ", ".join(list(names)[:2]) + (", ..." if len(names) > 2 else "")
        for names in (list(pairs), list(pairs.values()))
    )
    where = cell_name(cell, bench.config)
    return f"{where} with {used}", f"{where} with {wanted}"
