"""Which line gave the first wrong value of a layer its value."""

import ast
from collections.abc import Iterator, Sequence
from itertools import islice

from cell_verifier.localisation.layers.bench import LayerBench
from cell_verifier.localisation.layers.fields import NOT_REVERSED_BACK
from cell_verifier.localisation.layers.search import (
    Change,
    LayerFinding,
    equals_field,
    interventions_of,
)
from cell_verifier.localisation.recorder import UserFrame
from cell_verifier.localisation.source import (
    appending_line,
    binding_lines,
    copying_line,
    function_at,
    parameters_of,
    statement_at,
)

Place = tuple[str, int]
"""A file and a line."""

MAX_PROOFS = 8
"""Further interventions on the path of the same wrong value, to choose its line."""

PROCESSED = ("the input in the order", "the input at each step", "the reversed input")
"""The input of a direction; of the reverse one, it is reversed."""


def place_of(
    bench: LayerBench, finding: LayerFinding, others: Iterator[LayerFinding]
) -> tuple[LayerFinding, Place]:
    """The most telling of the findings, and the file and the line that it accuses.

    Args:
        finding: the first wrong value.
        others: later ones that are proved too.
    """
    if finding.written_by is not None:
        frame = finding.written_by.frames[0]
        return finding, (frame.file, frame.line)
    if finding.weights:
        return finding, _place_of_weights(bench, finding)
    if equals_field(bench, finding.first, NOT_REVERSED_BACK):
        findings = [finding, *islice(others, MAX_PROOFS)]
        finding = _where_input_is_reversed(bench, findings)
        return finding, _place_of_value(finding, moved=True)
    if finding.expected.startswith(PROCESSED) and "reverse" in finding.expected:
        return finding, _place_of_missing_reversal(bench, finding)
    if "dropout" in finding.first.operation.name and bench.training:
        frame = finding.first.operation.frames[0]
        return finding, (frame.file, _condition_around(frame))
    return finding, _place_of_value(finding)


def _place_of_value(finding: LayerFinding, *, moved: bool = False) -> Place:
    """The place of a wrong value; ``moved``: it is a right one in another order."""
    change = finding.first
    frame, name = change.operation.frames[0], change.operation.name
    if change.is_argument:
        return _origin(change.operation.frames, change.operation.names[change.element])
    if name in ("stack", "cat") and not moved and not _reorders(frame):
        return frame.file, appending_line(*frame.place)
    copied = copying_line(frame.file, frame.line, change.element) if moved else 0
    return frame.file, copied or frame.line


def _reorders(frame: UserFrame) -> bool:
    text = statement_at(frame.file, frame.line).text
    return any(word in text for word in ("::-1", "reversed", "flip", " for "))


def _condition_around(frame: UserFrame) -> int:
    """The line of the innermost ``if`` around a line, or the line."""
    function = function_at(frame.file, frame.line)
    around = [
        node.lineno
        for node in (ast.walk(function) if function else ())
        if isinstance(node, ast.If) and node.lineno < frame.line <= (node.end_lineno or 0)
    ]
    return max(around, default=frame.line)


def _where_input_is_reversed(bench: LayerBench, findings: Sequence[LayerFinding]) -> LayerFinding:
    """The first finding in the function that reverses the input: its outputs are reversed back."""
    for operation in bench.operations:
        for n in range(len(operation.results)):
            change = Change(operation, n, False, lambda bench: bench.probe.x)
            if equals_field(bench, change, "the reversed input"):
                code = operation.frames[0].code
                same = [f for f in findings if f.first.operation.frames[0].code is code]
                return same[0] if same else findings[0]
    return findings[0]


def _place_of_missing_reversal(bench: LayerBench, finding: LayerFinding) -> Place:
    """Where the input should be reversed: in the function that reverses the outputs back."""
    frames = finding.first.operation.frames
    _, operations = bench.run(interventions_of(bench, finding), record=True)
    after = [each for each in operations if each.index > finding.first.operation.index]
    for operation in after:
        for n in range(len(operation.results)):
            change = Change(operation, n, False, lambda bench: bench.probe.x)
            if equals_field(bench, change, "the outputs", direction=1):
                code = operation.frames[0].code
                inside = [n for n, frame in enumerate(frames) if frame.code is code]
                return _reversal_in(frames[inside[0] :] if inside else frames, finding)
    return _place_of_value(finding)


def _reversal_in(frames: Sequence[UserFrame], finding: LayerFinding) -> Place:
    """The line in a function that sets the order of the loop, or passes the input on."""
    operation = finding.first.operation
    frame = frames[0]
    function = function_at(frame.file, frame.line)
    if function is None:
        return frame.file, frame.line
    if frame is not operation.frames[0]:
        return frame.file, frame.line
    loop_line = _order_line(frame, function)
    if loop_line:
        return frame.file, loop_line
    return frame.file, frame.line


def _order_line(frame: UserFrame, function: ast.FunctionDef) -> int:
    """The line that gave the loop around a line its order, or 0: ``for t in order: x[t]``."""
    loops = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.For) and node.lineno <= frame.line <= (node.end_lineno or 0)
    ]
    if not loops:
        return 0
    loop = max(loops, key=lambda each: each.lineno)
    if not isinstance(loop.iter, ast.Name):
        return loop.lineno
    before = binding_lines(function, loop.iter.id, loop.lineno)
    return next((each for each in before if each < loop.lineno), loop.lineno)


def _origin(frames: Sequence[UserFrame], name: str) -> Place:
    """The line that gave a wrong operand its value without an operation: a copy, or a call."""
    frame = frames[0]
    function = function_at(frame.file, frame.line)
    if not name or function is None:
        return frame.file, frame.line
    line, copied, seen = frame.line, 0, {""}
    while name not in seen:
        seen.add(name)
        binding = _binding(frame.file, function, name, line)
        if binding is None:
            break
        line, name, is_copy = binding
        copied = line if is_copy else copied
    if copied:
        return frame.file, copied
    if name in parameters_of(function) and len(frames) > 1:
        return _origin(frames[1:], _passed_name(frames[1], name, function))
    return frame.file, frame.line


def _binding(
    file: str, function: ast.FunctionDef, name: str, line: int
) -> tuple[int, str, bool] | None:
    """The line that binds a name without an operation, the name it reads, and if it is a copy.

    Of several, one in the same loop.
    """
    for each in sorted(binding_lines(function, name, line), key=lambda n: n < line):
        node = statement_at(file, each).node
        if isinstance(node, ast.For) and isinstance(node.iter, ast.Name):
            return each, node.iter.id, False
        if isinstance(node, ast.Assign):
            targets, values = _parts(node.targets[0]), _parts(node.value)
            for target, value in zip(targets, values, strict=False):
                if isinstance(target, ast.Name) and target.id == name and _is_copy(value):
                    return each, value.id if isinstance(value, ast.Name) else "", True
    return None


def _is_copy(value: ast.expr) -> bool:
    computing = (ast.Call, ast.BinOp, ast.UnaryOp)
    return not any(isinstance(each, computing) for each in ast.walk(value))


def _parts(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def _passed_name(caller: UserFrame, parameter: str, function: ast.FunctionDef) -> str:
    """The variable that a call passes for a parameter, or ""."""
    node = statement_at(caller.file, caller.line).node
    names = [each for each in parameters_of(function) if each != "self"]
    position = names.index(parameter)
    for call in ast.walk(node) if node is not None else ():
        if isinstance(call, ast.Call) and len(call.args) == len(names):
            given = call.args[position]
            return given.id if isinstance(given, ast.Name) else ""
    return ""


def _place_of_weights(bench: LayerBench, finding: LayerFinding) -> Place:
    """The line that uses the weights; if all of a cell's are wrong, the line that calls it."""
    frames = finding.first.operation.frames
    used = {change.operation.identities[0][change.element] for change in finding.changes}
    wrong = [name for name, part in bench.module.named_parameters() if id(part) in used]
    whole = len(wrong) >= len(bench.arrangement.names[0]) and len(frames) > 1
    chosen = frames[1] if whole else frames[0]
    return chosen.file, chosen.line
