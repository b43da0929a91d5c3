"""Record the tensor operations of a module with the user's lines, and replace some of them."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cell_verifier.calling.conventions import Convention
from cell_verifier.calling.nested_tensors import leaves, rebuild
from cell_verifier.reference.probes import Probe
from cell_verifier.reference.simulate import RunResult
from command_line.errors import is_users_file

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of the verifier: the frames of the user's code end where its frames begin."""

RETURN = "return"
"""The name of the operation that stands for a ``return`` statement of the module."""

Values = list[Tensor]
Replace = Callable[[Values], Values]
"""What takes the place of the tensors that an operation receives or returns."""


@dataclass(frozen=True)
class UserFrame:
    """A line of the user's code that is being executed."""

    file: str
    line: int
    code: CodeType
    instruction: int

    @property
    def position(self) -> tuple[CodeType, int]:
        """The place in the code, which is the same in every iteration of a loop."""
        return self.code, self.instruction


@dataclass(frozen=True)
class Operation:
    """One tensor operation of a run.

    Attributes:
        index: its position in the run.
        name: the name of the function.
        frames: the user's frames, the innermost first; at least one.
        site: the place in the code, frames of libraries included.
        inner_site: the part of ``site`` up to the innermost frame of the user's code.
        arguments: the shapes of the tensors that it receives.
        results: the tensors that it returns, before any replacement.
    """

    index: int
    name: str
    frames: tuple[UserFrame, ...]
    site: tuple[Any, ...]
    inner_site: tuple[Any, ...]
    arguments: tuple[torch.Size, ...]
    results: Values


@dataclass
class Interventions:
    """The tensors to replace: by operation index, the results or the arguments."""

    results: Mapping[int, Replace] = field(default_factory=dict)
    arguments: Mapping[int, Replace] = field(default_factory=dict)

    def then(self, other: "Interventions") -> "Interventions":
        """Both; where they replace the same tensor, the other one's value."""
        return Interventions(
            _in_turn(self.results, other.results), _in_turn(self.arguments, other.arguments)
        )


def _in_turn(one: Mapping[int, Replace], two: Mapping[int, Replace]) -> dict[int, Replace]:
    def compose(first: Replace, second: Replace) -> Replace:
        return lambda values: second(first(values))

    both = {index: compose(one[index], two[index]) for index in one.keys() & two.keys()}
    return {**one, **two, **both}


class Recorder(TorchFunctionMode):
    """Counts operations, replaces the chosen ones and, if ``record``, keeps all of them."""

    def __init__(self, interventions: Interventions, record: bool) -> None:
        super().__init__()
        self.interventions = interventions
        self.record = record
        self.operations: list[Operation] = []
        self.count = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        index = self.count
        self.count += 1
        replace_arguments = self.interventions.arguments.get(index)
        if replace_arguments is not None:
            nested = (args, kwargs)
            args, kwargs = rebuild(nested, replace_arguments(leaves(nested)))
        out = func(*args, **kwargs)
        if self.record:
            self._keep(index, _name(func), leaves((args, kwargs)), leaves(out))
        replace = self.interventions.results.get(index)
        return out if replace is None else _replaced(_name(func), args, out, replace)

    def _keep(
        self,
        index: int,
        name: str,
        arguments: Values,
        results: Values,
        own: tuple[UserFrame, ...] = (),
    ) -> None:
        frames, site, inner = (own, (own[0].position,), 1) if own else _user_frames()
        if frames:
            self.operations.append(
                Operation(
                    index,
                    name,
                    frames,
                    (name, *site),
                    (name, *site[:inner]),
                    tuple(each.shape for each in arguments),
                    [each.detach().clone() for each in results],
                )
            )

    def on_return(self, frame: UserFrame | None, out: Any) -> Any:
        """Record and replace what the module returns."""
        index = self.count
        self.count += 1
        if self.record and frame is not None:
            self._keep(index, RETURN, [], leaves(out), (frame,))
        replace = self.interventions.results.get(index)
        return out if replace is None else rebuild(out, replace(leaves(out)))


def run(
    module: nn.Module,
    convention: Convention,
    probe: Probe,
    interventions: Interventions | None = None,
    *,
    record: bool = False,
) -> tuple[RunResult, list[Operation]]:
    """Run the module with interventions; with ``record``, also return its operations.

    Raises:
        Exception: whatever the module raises.
    """
    recorder = Recorder(interventions or Interventions(), record)
    lines = _ReturnLines(module) if record else None
    before = sys.getprofile()

    def hook(module: nn.Module, arguments: Any, out: Any) -> Any:
        with torch._C.DisableTorchFunction():  # the recorder's own operations do not count
            return recorder.on_return(lines.last if lines else None, out)

    handle = module.register_forward_hook(hook)
    if lines:
        sys.setprofile(lines)
    try:
        with torch.no_grad(), recorder:
            return convention.run(module, probe.copy()), recorder.operations
    finally:
        sys.setprofile(before)
        handle.remove()


class _ReturnLines:
    """A profile function that notes the line of the last ``return`` of a module's ``forward``."""

    def __init__(self, module: nn.Module) -> None:
        forward = getattr(type(module).forward, "__code__", None)
        self.code = forward if forward and is_users_file(forward.co_filename) else None
        self.last: UserFrame | None = None

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "return" and frame.f_code is self.code:
            # One instruction for all returns: it is the same statement at every time step.
            self.last = UserFrame(frame.f_code.co_filename, frame.f_lineno, frame.f_code, -1)


def _user_frames() -> tuple[tuple[UserFrame, ...], tuple[Any, ...], int]:
    """The user's frames, the whole site, and its length up to the innermost user's frame."""
    frame: FrameType | None = sys._getframe(3)
    frames: list[UserFrame] = []
    site: list[Any] = []
    inner = 0
    while frame is not None and not _is_ours(frame.f_code.co_filename):
        code = frame.f_code
        site.append((code, frame.f_lasti))
        if is_users_file(code.co_filename):
            frames.append(UserFrame(code.co_filename, frame.f_lineno, code, frame.f_lasti))
            inner = inner or len(site)
        frame = frame.f_back
    return tuple(frames), tuple(site), inner


@cache
def _is_ours(filename: str) -> bool:
    return Path(filename).is_relative_to(PACKAGE)


def _name(func: Any) -> str:
    return getattr(func, "__name__", type(func).__name__)


def _replaced(name: str, args: tuple[Any, ...], out: Any, replace: Replace) -> Any:
    values = replace(leaves(out))
    in_place = (name.endswith("_") and not name.endswith("__")) or name.startswith("__i")
    if in_place and isinstance(out, Tensor) and args and out is args[0]:
        return out.copy_(values[0])
    return rebuild(out, values)
