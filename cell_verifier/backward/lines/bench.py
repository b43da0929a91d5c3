"""Run the user's backward pass with values replaced, and compare its gradients."""

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cell_verifier.backward.lines.instrument import Copies, NoSourceError
from cell_verifier.backward.passes import Edits
from cell_verifier.backward.search import Gradients
from cell_verifier.backward.subject import Experiment, Subject, as_tensor

TOLERANCE = 1e-9
"""Relative to the largest right element, or to 1."""

Key = tuple[int, ...]
"""A place: the number of its site, and the calls that lead to it."""

Replacements = Mapping[tuple[Key, int], Tensor]
"""A place and which of its values, counted in order of execution -> the value to put there."""


@dataclass
class Observer:
    """Receives every value of a run, keeps it, and returns another one where that is chosen.

    Attributes:
        numpy: whether the user's code takes NumPy arrays.
        replacements: the values to put in place of the user's.
        values: the user's values at every place, if they are recorded; else None.
        counts: how many values each place had so far.
    """

    numpy: bool
    copies: Copies = field(init=False)
    replacements: Replacements = field(default_factory=dict)
    values: dict[Key, list[Tensor]] | None = None
    counts: dict[Key, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.copies = Copies(self)

    def start(self, replacements: Replacements, *, record: bool) -> None:
        """Begin a run."""
        self.replacements, self.counts = replacements, {}
        self.values = {} if record else None

    def __call__(self, number: int, value: Any) -> Any:
        form = self.copies.sites[number].form
        is_array = isinstance(value, np.ndarray | np.floating | Tensor)
        if not (is_array or form in ("order", "constant")):
            return value
        key = (number, *self._calls())
        count = self.counts.get(key, 0)
        self.counts[key] = count + 1
        if self.values is not None:
            tensor = as_tensor(value) if is_array else None
            kept = torch.zeros(()) if tensor is None else tensor.clone()
            self.values.setdefault(key, []).append(kept)
        if (key, count) not in self.replacements:
            return value
        if form == "order":
            return list(value)[::-1]
        term = self.replacements[key, count]
        return term.numpy().copy() if self.numpy else term.clone()

    def _calls(self) -> list[int]:
        """The instructions of the copied functions that have called the one with the site."""
        frame, found = sys._getframe(3), []
        while frame is not None and frame.f_code in self.copies.codes:
            found.append(frame.f_lasti)
            frame = frame.f_back  # type: ignore[assignment]  # the loop ends before None
        return found


class Bench:
    """The user's code with observed values, on one experiment.

    Attributes:
        values: the user's values at every place, without a replacement.
    """

    def __init__(self, experiment: Experiment, observer: Observer) -> None:
        self.experiment = experiment
        self.observer = observer
        self.right = experiment.derivation()(Edits())
        self.values: dict[Key, list[Tensor]] = {}

    def record(self, replacements: Replacements) -> Gradients:
        """Run the code and keep all values.

        Raises:
            Exception: whatever the user's code raises.
        """
        self.observer.start(replacements, record=True)
        observed = self.experiment.user_gradients()
        self.values = self.observer.values or {}
        return observed

    def share_of_right(self, replacements: Replacements) -> float:
        """The share of right elements with these values in place of the user's; 1 if all are."""
        self.observer.start(replacements, record=False)
        try:
            observed = self.experiment.user_gradients()
        except Exception:  # a value can make the user's code raise
            return 0.0
        right = total = 0
        for name, got in observed.items():
            wanted = self.right[name]
            total += wanted.numel()
            if got.shape == wanted.shape:
                near = (got - wanted).abs() <= TOLERANCE * max(1.0, float(wanted.abs().max()))
                right += int(torch.count_nonzero(near))
        return right / max(1, total)

    def has_right_shapes(self, observed: Gradients) -> bool:
        """Whether every gradient has the shape that it should have."""
        return all(part.shape == self.right[name].shape for name, part in observed.items())


def observed_copy(subject: Subject) -> tuple[Subject, Observer]:
    """The subject with a copy of its backward pass, whose values an observer receives.

    Raises:
        NoSourceError: the source of the backward pass cannot be read.
    """
    code, observer = subject.code, Observer(subject.code.numpy)
    if isinstance(code.forward, type):
        own = inspect.getattr_static(code.forward, "backward")
        function: Any = own.__func__ if isinstance(own, staticmethod) else own
        copied = {"backward": staticmethod(observer.copies.copy_of(function))}
        forward = type(code.forward.__name__, (code.forward,), copied)
        return replace(subject, code=replace(code, forward=forward)), observer
    if not isinstance(code.backward, FunctionType):
        raise NoSourceError
    backward = observer.copies.copy_of(code.backward)
    return replace(subject, code=replace(code, backward=backward)), observer
