"""A public report as a test case: run it with an implementation and classify the outcome."""

import multiprocessing
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

import torch

Case = Callable[[Any], None]
"""Runs what was reported with a module that has RNN, GRU, LSTM and their cells.

It raises an AssertionError if a result is wrong.
"""

IMPLEMENTATIONS = ("torch.nn", "scratch_cells")
"""The modules that every case runs with."""

SECONDS = 120
"""How long a case may run in its own process."""


@dataclass(frozen=True)
class Outcome:
    """What one implementation does with one report.

    Attributes:
        kind: "works", "raises" (an invalid call raises an error), "not supported" (a valid call
            raises an error) or "wrong" (a wrong result, an invalid call without an error, or a
            crash).
        words: for an error, its type and the start of its message.
    """

    kind: str
    words: str = ""

    def includes(self, observed: "Outcome") -> bool:
        """Whether ``observed`` is this recorded outcome."""
        return self.kind == observed.kind and self.words in observed.words

    def __str__(self) -> str:
        return f"{self.kind}: `{self.words}`" if self.words else self.kind


WORKS = Outcome("works")
WRONG = Outcome("wrong")
CRASH = Outcome("wrong", "the process crashes")
raises = partial(Outcome, "raises")
not_supported = partial(Outcome, "not supported")


@dataclass(frozen=True)
class Report:
    """A public report with its case and the recorded outcomes.

    Attributes:
        reference: ``owner/name#number`` on GitHub, or the address of a forum thread.
        title: the title of the thread.
        case: the case; its docstring states what is tried.
        torch_nn, scratch_cells: the recorded outcomes.
        invalid: whether an error is the right outcome.
        may_crash: whether the case runs in its own process.
    """

    reference: str
    title: str
    case: Case
    torch_nn: Outcome
    scratch_cells: Outcome
    invalid: bool
    may_crash: bool

    @property
    def name(self) -> str:
        return self.case.__name__

    @property
    def address(self) -> str:
        repository, _, number = self.reference.partition("#")
        return f"https://github.com/{repository}/issues/{number}" if number else self.reference

    @property
    def label(self) -> str:
        return self.reference if "#" in self.reference else f"forum {self.reference[-6:]}"

    def recorded(self, implementation: str) -> Outcome:
        """The recorded outcome of one of ``IMPLEMENTATIONS``."""
        return self.torch_nn if implementation == "torch.nn" else self.scratch_cells

    def observe(self, implementation: str) -> Outcome:
        """Run the case with one of ``IMPLEMENTATIONS`` and classify what happens."""
        if self.may_crash:
            return _in_own_process(self, implementation)
        return _run(self, import_module(implementation))

    def difference(self, implementation: str) -> str:
        """What differs between the recorded and the observed outcome; empty if nothing does."""
        recorded, observed = self.recorded(implementation), self.observe(implementation)
        if recorded.includes(observed):
            return ""
        return f"{self.name}, {implementation}: recorded {recorded}, observed {observed}"


REPORTS: list[Report] = []
"""All reports, in the order of the modules that ``collection`` imports."""


def report(
    reference: str,
    title: str,
    *,
    torch_nn: Outcome = WORKS,
    scratch_cells: Outcome = WORKS,
    invalid: bool = False,
    may_crash: bool = False,
) -> Callable[[Case], Case]:
    """Add the decorated case to ``REPORTS``; the arguments are those of ``Report``."""

    def add(case: Case) -> Case:
        REPORTS.append(Report(reference, title, case, torch_nn, scratch_cells, invalid, may_crash))
        return case

    return add


def _run(report: Report, layers: ModuleType) -> Outcome:
    torch.manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report.case(layers)
    except AssertionError as error:
        return Outcome("wrong", _words(error))
    except Exception as error:
        return Outcome("raises" if report.invalid else "not supported", _words(error))
    return WRONG if report.invalid else WORKS


def _words(error: Exception) -> str:
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _in_own_process(report: Report, module: str) -> Outcome:
    """Run the case in a process of its own, because it may end the process."""
    context = multiprocessing.get_context("forkserver")  # imports torch once for all processes
    context.set_forkserver_preload([__name__, "scratch_cells"])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(report, module, sender))
    process.start()
    sender.close()
    try:
        if not receiver.poll(SECONDS):
            return Outcome("wrong", f"no result within {SECONDS} s")
        outcome: Outcome = receiver.recv()
        return outcome
    except EOFError:  # the process ended without a result
        return CRASH
    finally:
        process.kill()
        process.join()


def _child(report: Report, module: str, sender: Any) -> None:
    sender.send(_run(report, import_module(module)))
