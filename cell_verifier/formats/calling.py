"""How a program is called, discovered by trial: layout, state, and what it returns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cell_verifier.errors import CannotCheckError
from cell_verifier.formats.program import Program
from cell_verifier.formats.weights import LayerWeights
from cell_verifier.reference.kinds import Kind
from cell_verifier.reference.probes import Probe
from cell_verifier.reference.simulate import RunResult
from command_line.errors import own_line

SIZES = ((5, 3), (4, 3), (8, 4), (10, 2), (16, 1), (7, 1), (5, 1), (1, 1))
"""(time steps, samples) of the first calls; more than one for programs with a frozen size."""


@dataclass(frozen=True)
class ProgramConvention:
    """How a program is called.

    Attributes:
        state_form: ``"tuple"``, ``"separate"`` or ``"none"``.
        batch_first: whether x is (B, T, I).
        returned: for each returned tensor, its name and the order of its axes.
        time, batch: sizes with which it runs.
    """

    state_form: str
    batch_first: bool
    returned: tuple[tuple[str, str], ...]
    time: int
    batch: int

    def describe(self) -> str:
        """For the report: ``layer(x: (T, B, I), (h, c)) -> output, h, c``."""
        x = "x: (B, T, I)" if self.batch_first else "x: (T, B, I)"
        state = {"tuple": ", state", "separate": ", each part of the state", "none": ""}
        names = [name for name, _ in self.returned if name]
        return f"program({x}{state[self.state_form]}) -> {', '.join(names)}"


MAX_ERROR = 200
"""Length of an error in the report, in characters."""


def short_error(error: BaseException) -> str:
    """An error of a program on one line, without the traces of TorchScript and onnxruntime."""
    line = own_line(error).rpartition("Status Message: ")[2]
    if len(line) <= MAX_ERROR:
        return line
    last = line.rpartition("Error: ")[2]
    return last if len(last) <= MAX_ERROR else f"{line[:MAX_ERROR]}..."


def draw(
    kind: Kind, weights: LayerWeights, time: int, batch: int, dtype: torch.dtype, seed: int = 3
) -> Probe:
    """A random input and initial state for a layer with these weights."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(time, batch, weights.input_size, generator=generator)
    shape = len(weights.cells), batch, weights.hidden_size
    state = tuple(torch.randn(shape, generator=generator) for _ in kind.state)
    return Probe(x.to(dtype), tuple(part.to(dtype) for part in state))


def call(program: Program, convention: ProgramConvention, probe: Probe) -> RunResult:
    """Run a program; the results have torch.nn's names and axes."""
    returned = _call(program, convention.state_form, convention.batch_first, probe)
    if len(returned) != len(convention.returned):
        raise ValueError(f"it returns {len(returned)} tensors, not {len(convention.returned)}")
    return {
        name: _to_torch_axes(tensor, axes)
        for tensor, (name, axes) in zip(returned, convention.returned, strict=True)
        if name
    }


def _call(program: Program, state_form: str, batch_first: bool, probe: Probe) -> list[Tensor]:
    x = probe.x.transpose(0, 1).contiguous() if batch_first else probe.x
    match state_form:
        case "none":
            returned = program.run(x)
        case "separate":
            returned = program.run(x, *probe.state)
        case _:
            state = probe.state if len(probe.state) > 1 else probe.state[0]
            returned = program.run(x, state)
    return list(_tensors(returned))


def _tensors(returned: Any) -> Iterator[Tensor]:
    if isinstance(returned, Tensor):
        yield returned
    elif isinstance(returned, dict):
        yield from _tensors(list(returned.values()))
    elif isinstance(returned, list | tuple):
        for part in returned:
            yield from _tensors(part)
    elif hasattr(returned, "__array__") or hasattr(returned, "__dlpack__"):
        yield torch.tensor(returned.__array__())


def conventions(program: Program, kind: Kind, weights: LayerWeights) -> list[ProgramConvention]:
    """Every convention with which a program runs, with a state if it takes one.

    Raises:
        CannotCheckError: no call succeeds.
    """
    found: list[ProgramConvention] = []
    errors: list[str] = []
    layouts = (False, True) if program.batch_first is None else (program.batch_first,)
    for state_form in program.state_forms:
        if state_form == "separate" and len(kind.state) == 1 and "tuple" in program.state_forms:
            continue  # the same call
        if state_form == "none" and found:
            break
        for batch_first in layouts:
            for time, batch in _sizes(program, batch_first):
                probe = draw(kind, weights, time, batch, program.dtype)
                try:
                    with torch.no_grad():
                        returned = _call(program, state_form, batch_first, probe)
                except Exception as error:
                    errors.append(short_error(error))
                    continue
                named = _name(returned, kind, weights, time, batch, batch_first)
                if any(name in ("output", "last", "h") for name, _ in named):
                    found.append(ProgramConvention(state_form, batch_first, named, time, batch))
                    break
                shapes = ", ".join(str(tuple(part.shape)) for part in returned)
                errors.append(f"it returns tensors of shapes {shapes or 'none'}")
    if not found:
        # A TypeError is that of a call with another number of arguments than the program takes.
        likely = [error for error in errors if "TypeError" not in error] or errors
        raise CannotCheckError(
            f"{program.name} is not a layer of x (T, B, {weights.input_size}) or (B, T, "
            f"{weights.input_size}), with or without a state: {likely[-1]}; give the recurrent "
            "layer alone, and of a cell its class"
        )
    # With one step and one sample, both layouts are the same call, and the wrong one runs, too.
    larger = [each for each in found if 1 not in (each.time, each.batch)]
    return larger or found


def _sizes(program: Program, batch_first: bool) -> Iterator[tuple[int, int]]:
    """The sizes to try, with those that the program declares in place of others."""
    declared = program.sizes[::-1] if batch_first else program.sizes
    sizes = [tuple(d or s for d, s in zip(declared, pair, strict=True)) for pair in SIZES]
    yield from dict.fromkeys(sizes)  # type: ignore[misc]


def _name(
    returned: Sequence[Tensor],
    kind: Kind,
    weights: LayerWeights,
    time: int,
    batch: int,
    batch_first: bool,
) -> tuple[tuple[str, str], ...]:
    """The name and the order of the axes of each returned tensor, by its shape."""
    hidden, cells, directions = weights.hidden_size, len(weights.cells), weights.num_directions
    outputs = {
        (batch, time, directions * hidden) if batch_first else (time, batch, directions * hidden): (
            "BTH" if batch_first else "TBH"
        ),
        (time, directions, batch, hidden): "TDBH",
        (batch, time, directions, hidden): "BTDH",
    }
    states: dict[tuple[int, ...], str] = {(cells, batch, hidden): "CBH"}
    if cells == 1:
        states[batch, hidden] = "one"
    left = list(kind.state)
    named: list[tuple[str, str]] = []
    for tensor in returned:
        shape = tuple(tensor.shape)
        have_output = any(name in ("output", "last") for name, _ in named)
        if not have_output and shape in outputs:
            named.append(("output", outputs[shape]))
        elif not have_output and shape == (batch, directions * hidden) and not named:
            named.append(("last", "BH"))
        elif left and shape in states:
            named.append((left.pop(0), states[shape]))
        else:
            named.append(("", ""))
    return tuple(named)


def _to_torch_axes(tensor: Tensor, axes: str) -> Tensor:
    """A returned tensor with torch.nn's axes: (T, B, D*H), or (L*D, B, H) for a state."""
    match axes:
        case "BTH":
            return tensor.transpose(0, 1)
        case "TDBH":
            return tensor.transpose(1, 2).flatten(2)
        case "BTDH":
            return tensor.transpose(0, 1).flatten(2)
        case "one":
            return tensor.unsqueeze(0)
    return tensor
