"""Record the tensor operations of a module with the user's lines, and replace some of them."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cell_verifier.calling.nested_tensors import leaves, rebuild
from cell_verifier.reference.probes import Probe
from cell_verifier.reference.simulate import RunResult
from command_line.errors import is_users_file

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of the verifier: the frames of the user's code end where its frames begin."""

RETURN = "return"
"""The name of the operation that stands for a ``return`` statement of the module."""

CALL = "call"
"""The name of the operation that stands for a call of the module, with its arguments."""

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

    @property
    def place(self) -> tuple[str, int, CodeType, int]:
        """The file, the line and the instruction that is executed."""
        return self.file, self.line, self.code, self.instruction


@dataclass(frozen=True)
class Operation:
    """One tensor operation of a run.

    Attributes:
        index: its position in the run.
        name: the name of the function.
        frames: the user's frames, the innermost first; at least one.
        site: the place in the code, frames of libraries included.
        inner_site: the part of ``site`` up to the innermost frame of the user's code.
        arguments: the tensors that it receives, before any replacement and any change in place.
        names: for each argument, the user's variable that holds it, or "".
        identities: for each argument, then for each result, the same integer for the same tensor.
        results: the tensors that it returns, before any replacement.
        key: the only integer in the index of ``a[key] = b``, or None.
    """

    index: int
    name: str
    frames: tuple[UserFrame, ...]
    site: tuple[Any, ...]
    inner_site: tuple[Any, ...]
    arguments: Values
    names: tuple[str, ...]
    identities: tuple[tuple[int, ...], tuple[int, ...]]
    results: Values
    key: int | None = None

    @property
    def argument_shapes(self) -> tuple[torch.Size, ...]:
        return tuple(each.shape for each in self.arguments)


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
        self.alive: Values = []  # so that the identities stay unique

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        index = self.count
        self.count += 1
        received = leaves((args, kwargs)) if self.record else []
        before = _copies(received)
        replace_arguments = self.interventions.arguments.get(index)
        if replace_arguments is not None:
            nested = (args, kwargs)
            args, kwargs = rebuild(nested, replace_arguments(leaves(nested)))
        out = func(*args, **kwargs)
        if self.record:
            self._keep(index, _name(func), received, before, leaves(out), key=_key(func, args))
        replace = self.interventions.results.get(index)
        return out if replace is None else _replaced(_name(func), args, out, replace)

    def _keep(
        self,
        index: int,
        name: str,
        received: Values,
        arguments: Values,
        results: Values,
        own: tuple[UserFrame, ...] = (),
        key: int | None = None,
    ) -> None:
        place: UserPlace = (own, (own[0].position,), 1, {}) if own else _user_frames()
        frames, site, inner, variables = place
        if not frames:
            return
        self.alive += [*received, *results]
        self.operations.append(
            Operation(
                index,
                name,
                frames,
                (name, *site),
                (name, *site[:inner]),
                arguments,
                tuple(_variable_of(each, variables) for each in received),
                (tuple(map(id, received)), tuple(map(id, results))),
                _copies(results),
                key,
            )
        )

    def on_call(self, frame: UserFrame | None, nested: Any) -> Any:
        """Record and replace what the module receives."""
        index = self.count
        self.count += 1
        received = leaves(nested)
        if self.record and frame is not None:
            self._keep(index, CALL, received, _copies(received), [], (frame,))
        replace = self.interventions.arguments.get(index)
        return nested if replace is None else rebuild(nested, replace(received))

    def on_return(self, frame: UserFrame | None, out: Any) -> Any:
        """Record and replace what the module returns."""
        index = self.count
        self.count += 1
        if self.record and frame is not None:
            self._keep(index, RETURN, [], [], leaves(out), (frame,))
        replace = self.interventions.results.get(index)
        return out if replace is None else rebuild(out, replace(leaves(out)))


class Runs(Protocol):
    """How a module is called for a probe: a convention."""

    def run(self, module: nn.Module, probe: Probe) -> RunResult: ...


def run(
    module: nn.Module,
    convention: Runs,
    probe: Probe,
    interventions: Interventions | None = None,
    *,
    record: bool = False,
    grad: bool = False,
) -> tuple[RunResult, list[Operation]]:
    """Run the module with interventions; with ``record``, also return its operations.

    With ``grad``, gradients can be computed with respect to the probe and the parameters.

    Raises:
        Exception: whatever the module raises.
    """
    recorder = Recorder(interventions or Interventions(), record)
    lines = _ReturnLines(module) if record else None
    before = sys.getprofile()
    received = probe if grad else probe.copy()  # here, so that its operations do not count

    def hook(module: nn.Module, arguments: Any, out: Any) -> Any:
        with torch._C.DisableTorchFunction():  # the recorder's own operations do not count
            return recorder.on_return(lines.last if lines else None, out)

    def pre_hook(module: nn.Module, arguments: Any, options: Any) -> Any:
        with torch._C.DisableTorchFunction():
            return recorder.on_call(lines.header if lines else None, (arguments, options))

    handles = (
        module.register_forward_hook(hook),
        module.register_forward_pre_hook(pre_hook, with_kwargs=True),
    )
    if lines:
        sys.setprofile(lines)
    try:
        with torch.set_grad_enabled(grad), recorder:
            return convention.run(module, received), recorder.operations
    finally:
        sys.setprofile(before)
        for handle in handles:
            handle.remove()


class _ReturnLines:
    """A profile function that notes the line of the last ``return`` of a module's ``forward``."""

    def __init__(self, module: nn.Module) -> None:
        forward = getattr(type(module).forward, "__code__", None)
        self.code = forward if forward and is_users_file(forward.co_filename) else None
        self.last: UserFrame | None = None

    @property
    def header(self) -> UserFrame | None:
        """The line of ``def forward``."""
        code = self.code
        return code and UserFrame(code.co_filename, code.co_firstlineno, code, -2)

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "return" and frame.f_code is self.code:
            # One instruction for all returns: it is the same statement at every time step.
            self.last = UserFrame(frame.f_code.co_filename, frame.f_lineno, frame.f_code, -1)


def _copies(tensors: Values) -> Values:
    """The values as they are now, for code that changes its tensors in place."""
    return [each.detach().clone() for each in tensors]


def _key(func: Any, args: tuple[Any, ...]) -> int | None:
    """The only integer in the index of an assignment to an element."""
    if _name(func) != "__setitem__":
        return None
    parts = args[1] if isinstance(args[1], tuple) else (args[1],)
    integers = [each for each in parts if isinstance(each, int)]
    return integers[0] if len(integers) == 1 else None


def _variable_of(tensor: Tensor, variables: Mapping[str, Any]) -> str:
    """The name of the variable that holds a tensor, or ""."""
    return next((name for name, value in variables.items() if value is tensor), "")


UserPlace = tuple[tuple[UserFrame, ...], tuple[Any, ...], int, Mapping[str, Any]]


def _user_frames() -> UserPlace:
    """The user's frames, the whole site, its length up to the innermost user's frame, its locals.

    The site of an operation is every frame between it and the verifier.
    """
    frame: FrameType | None = sys._getframe(3)
    frames: list[UserFrame] = []
    site: list[Any] = []
    inner = 0
    variables: Mapping[str, Any] = {}
    while frame is not None and not _is_ours(frame.f_code.co_filename):
        code = frame.f_code
        site.append((code, frame.f_lasti))
        if is_users_file(code.co_filename):
            variables = variables if frames else dict(frame.f_locals)
            frames.append(UserFrame(code.co_filename, frame.f_lineno, code, frame.f_lasti))
            inner = inner or len(site)
        frame = frame.f_back
    return tuple(frames), tuple(site), inner, variables


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
