"""The checks of part 7."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from exercises.checking import Attempt, Failure, check_function, normal
from exercises.checking.comparison import tensors_of
from exercises.checking.explain import error_at
from exercises.checking.probes import ProbedFile, Recording
from scratch_cells import Cell, layer_of
from sequenced_mnist import load_images, to_sequences
from shared_interface import SequenceClassifier

T, B, I, H = 5, 3, 6, 4
TRAINING_STEPS, BATCH = 50, 50
CUTTING = r"\.detach\(|\.data\b|no_grad"
"""What cuts the gradient, in the code of a cell."""

MAX_LOSS = 1.5
"""After the training; ten classes without any learning have a loss of 2.3."""


def own_cell(attempt: Attempt) -> None:
    own = attempt.get("OwnCell")
    if not (isinstance(own, type) and issubclass(own, Cell)):
        raise Failure("OwnCell must be a subclass of scratch_cells.Cell")
    probed = ProbedFile(attempt.module)
    step = _Step(probed, attempt)
    step.check_shapes()
    step.check_dependencies()
    step.check_gradients()
    _check_training(attempt)


class _Step:
    """One step of the learner's cell with recorded statements."""

    def __init__(self, probed: ProbedFile, attempt: Attempt) -> None:
        self.probed = probed
        torch.manual_seed(attempt.seed)
        self.cell: Any = probed.module.OwnCell(I, H).double()
        self.names = self.cell.Gates._fields
        generator = attempt.generator()
        self.x, self.h = normal(generator, B, I), normal(generator, B, H)

    def record(self, x: Tensor, h: Tensor) -> Recording:
        """Run one step."""
        return self.probed.record(lambda module: self.cell(x, h), [x, h])

    def fail(self, method: str, message: str) -> Failure:
        """A failure at the last statement of a method that ran, its return."""
        events = self.record(self.x, self.h).events
        lines = [e.site.line for e in events if e.site.function == f"OwnCell.{method}"]
        return Failure(message, line=lines[-1] if lines else 0)

    def check_shapes(self) -> None:
        recording = self.record(self.x, self.h)
        returned = [e for e in recording.events if e.site.variable == ("OwnCell.gates", "return")]
        gates = returned[-1].value if returned else None
        if gates is None and recording.error is not None:
            raise error_at(recording.error, self.probed.path)
        if not isinstance(gates, tuple) or len(gates) != len(self.names):
            expected = f"self.Gates with {len(self.names)} gates: {', '.join(self.names)}"
            raise self.fail("gates", f"gates must return {expected}")
        for name, gate in zip(self.names, gates, strict=True):
            if not isinstance(gate, Tensor) or gate.shape != (B, H):
                message = f"the gate {name} {_shape(gate)}, expected (B, H) {(B, H)}"
                raise _first_without_batch(recording, message) or self.fail("gates", message)
        if recording.error is not None:
            raise error_at(recording.error, self.probed.path)
        if not isinstance(recording.output, Tensor) or recording.output.shape != (B, H):
            message = f"the new state {_shape(recording.output)}, expected (B, H) {(B, H)}"
            raise self.fail("update", message)
        versions = [event.versions for event in recording.events]
        for event, before in zip(recording.events[1:], versions, strict=False):
            if event.versions > before:
                message = "x or h has changed in place: the caller still needs it"
                raise Failure(message, line=event.site.line)
        if not torch.equal(recording.output, self.record(self.x, self.h).output):
            raise self.fail("update", "the step is random: two calls return different states")

    def check_dependencies(self) -> None:
        right = self.record(self.x, self.h).output
        if torch.equal(self.record(self.x, self.h.flip(0)).output, right):
            raise self.fail("update", "the new state does not depend on h: there is no memory")
        if torch.equal(self.record(self.x.flip(0), self.h).output, right):
            raise self.fail("gates", "the new state does not depend on x")
        x, h = self.x.clone(), self.h.clone()
        x[1:], h[1:] = 0.5, 0.25
        if not torch.allclose(self.record(x, h).output[0], right[0]):
            method = "gates" if self._gates_mix(x, h) else "update"
            raise self.fail(method, "a sample depends on the other samples of the batch")
        weight = self.cell.hidden_to_hidden.weight
        for n, name in enumerate(self.names):
            rows = slice(n * H, (n + 1) * H)
            with torch.no_grad():
                saved = weight[rows].clone()
                weight[rows] += 1.0
                has_no_effect = torch.equal(self.record(self.x, self.h).output, right)
                weight[rows] = saved
            if has_no_effect:
                method = "gates" if self._is_constant(rows, n) else "update"
                raise self.fail(method, f"the rows of the gate {name} have no effect on the state")

    def _gates_mix(self, x: Tensor, h: Tensor) -> bool:
        projected = self.cell.project
        ours, others = self.cell.gates(projected(self.x), self.h), self.cell.gates(projected(x), h)
        return not all(torch.allclose(a[0], b[0]) for a, b in zip(ours, others, strict=True))

    def _is_constant(self, rows: slice, n: int) -> bool:
        """Whether a gate does not depend on its rows of the recurrent weight."""
        projected, weight = self.cell.project(self.x), self.cell.hidden_to_hidden.weight
        with torch.no_grad():
            saved, before = weight[rows].clone(), self.cell.gates(projected, self.h)[n].clone()
            weight[rows] += 1.0
            after = self.cell.gates(projected, self.h)[n]
            weight[rows] = saved
        return torch.equal(before, after)

    def check_gradients(self) -> None:
        """Compare autograd with finite differences: detach() and no_grad() are found."""
        x, h = (each.clone().requires_grad_() for each in (self.x, self.h))
        parts = {
            "gates": lambda x, h: tuple(self.cell.gates(self.cell.project(x), h)),
            "update": lambda x, h: self.cell(x, h),
        }
        for method, function in parts.items():
            if not _has_right_gradients(function, x, h):
                failure = self.fail(method, "the gradient is not that of the value")
                failure.line = self._cutting_line() or failure.line
                raise failure

    def _cutting_line(self) -> int:
        """The first line that cuts gradients, or 0."""
        lines = enumerate(self.probed.text.splitlines(), 1)
        return next((n for n, line in lines if re.search(CUTTING, line)), 0)


def _first_without_batch(recording: Recording, message: str) -> Failure | None:
    """A failure at the first statement of ``gates`` whose tensor does not have B rows."""
    events = (event for event in recording.events if event.site.function == "OwnCell.gates")
    for event in events:
        if isinstance(event.value, Tensor) and event.value.shape[:1] != (B,):
            return Failure(message, line=event.site.line)
    return None


def _has_right_gradients(function: Callable[..., Any], *inputs: Tensor) -> bool:
    outputs = function(*inputs)
    if not all(each.requires_grad for each in tensors_of(outputs)):
        return False  # gradcheck skips outputs without a gradient
    try:
        return bool(torch.autograd.gradcheck(function, inputs, raise_exception=False))
    except RuntimeError:  # an operation without a derivative
        return False


def _shape(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"has the shape {tuple(value.shape)}"
    return f"is {'None' if value is None else f'a {type(value).__name__}'}"


def _check_training(attempt: Attempt) -> None:
    """Train a layer of the cell on the embedded digits, row by row."""
    digits = load_images("digits", Path())
    x, labels = to_sequences(digits.train_images, "rows"), digits.train_labels
    torch.manual_seed(0)
    layer = layer_of(attempt.module.OwnCell)(x.size(2), 32, batch_first=True)
    model = SequenceClassifier(layer, 10)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for n in range(TRAINING_STEPS):
        rows = torch.arange(n * BATCH, (n + 1) * BATCH) % len(x)
        loss = F.cross_entropy(model(x[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    last = sum(losses[-5:]) / 5
    print(f"loss on the digits: {losses[0]:.2f} at the start, {last:.2f} after {len(losses)} steps")
    if not last < MAX_LOSS:
        raise Failure(
            f"the cell does not learn: after {len(losses)} steps on the digits its loss is "
            f"{last:.2f}, expected less than {MAX_LOSS}"
        )


def gates_of_a_layer(attempt: Attempt) -> None:
    def draw(generator: Generator) -> tuple[Any, ...]:
        torch.manual_seed(int(torch.randint(1000, (1,), generator=generator)))
        return torch.nn.LSTM(I, H, num_layers=2).double(), normal(generator, T, B, I)

    check_function(attempt, "mean_gates", draw, gradients=False)
