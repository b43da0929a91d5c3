"""The implementations of a recurrent layer that are compared, all with the same weights."""

import copy
import dataclasses
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scratch_cells import from_torch
from shared_interface import final_hidden


@dataclass(frozen=True)
class Task:
    """A layer and its input: ``batch`` sequences of ``time`` steps with ``features`` each."""

    name: str
    batch: int
    time: int
    features: int
    hidden_size: int
    layers: int

    def of_size(self, hidden_size: int) -> "Task":
        """The same task with another hidden size."""
        return dataclasses.replace(self, name=f"{self.name} {hidden_size}", hidden_size=hidden_size)

    def __str__(self) -> str:
        return (
            f"{self.name}: batch {self.batch}, {self.time} steps of {self.features}, "
            f"{self.layers} x {self.hidden_size}"
        )


TASKS = {
    task.name: task
    for task in (
        Task("rows", batch=100, time=28, features=28, hidden_size=128, layers=2),
        Task("pixels", batch=100, time=784, features=1, hidden_size=128, layers=1),
        Task("wide", batch=32, time=64, features=256, hidden_size=512, layers=1),
    )
}
KINDS = ("RNN", "GRU", "LSTM")
BUILTIN = "builtin"
"""torch.nn's layer, with which every other implementation is compared."""


class CellLoop(nn.Module):
    """The usual first version: torch.nn's cell in a Python loop over layers and time steps."""

    def __init__(self, layer: nn.RNNBase, kind: str) -> None:
        super().__init__()
        cells = []
        for index in range(layer.num_layers):
            size = layer.input_size if index == 0 else layer.hidden_size
            cell = getattr(nn, f"{kind}Cell")(size, layer.hidden_size)
            cell.load_state_dict(
                {name: getattr(layer, f"{name}_l{index}") for name in cell.state_dict()}
            )
            cells.append(cell)
        self.cells = nn.ModuleList(cells)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        finals = []
        for cell in self.cells:
            state, outputs = None, []
            for step in x:
                state = cell(step, state)
                outputs.append(state[0] if isinstance(state, tuple) else state)
            x = torch.stack(outputs)
            finals.append(state)
        if isinstance(finals[0], tuple):
            return x, tuple(map(torch.stack, zip(*finals, strict=True)))
        return x, torch.stack(finals)


def implementations(
    kind: str,
    task: Task,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    with_compiler: bool = False,
) -> dict[str, nn.Module]:
    """The implementations of ``kind`` for a task, by name, with one set of weights.

    ``scratch`` is the layer with its default backend. Where that is ``c``, there is also
    ``scratch bptt``. ``opacus`` is included if it is installed: ``pip install -e .[bench]``.
    """
    torch.manual_seed(0)
    layer = getattr(nn, kind)(task.features, task.hidden_size, task.layers)
    found = {
        BUILTIN: layer,
        "scratch": from_torch(layer),
        "scratch plain": _scratch(layer, "plain"),
        "torch.nn cell loop": CellLoop(layer, kind),
    }
    if _backend(found["scratch"], task, device, dtype) == "c":
        found["scratch bptt"] = _scratch(layer, "bptt")
    if importlib.util.find_spec("opacus"):
        layers = importlib.import_module("opacus.layers")
        opacus = getattr(layers, f"DP{kind}")(task.features, task.hidden_size, task.layers)
        opacus.load_state_dict(layer.state_dict())
        found["opacus"] = opacus
    triton = _scratch(layer, "triton")
    if device.type == "cuda" and _backend(triton, task, device, dtype) == "triton":
        found["scratch triton"] = triton
    if with_compiler and task.time <= MAX_COMPILED_STEPS:
        # Compiled and captured as one CUDA graph each for the forward and the backward pass.
        found["scratch compiled"] = torch.compile(_scratch(layer, "plain"), mode="reduce-overhead")
    return {name: model.to(device, dtype) for name, model in found.items()}


MAX_COMPILED_STEPS = 64
"""Time steps. torch.compile unrolls the loop, and takes hours for longer sequences."""


def _scratch(layer: nn.Module, backend: str) -> Any:
    """The hand-written layer with the weights of ``layer``."""
    model = from_torch(layer)
    model.backend = backend
    return model


def _backend(model: Any, task: Task, device: torch.device, dtype: torch.dtype) -> str:
    """The name of the backend that runs a model on a task."""
    on_device = copy.deepcopy(model).to(device, dtype)
    return str(on_device.backend_for(draw_input(task, device, dtype)).name)


def train_step(model: nn.Module, x: Tensor) -> Tensor:
    """Forward and backward pass, with a loss on the final hidden state as in a classifier."""
    model.zero_grad()
    _, state = model(x)
    loss = final_hidden(state, directions=1).square().mean()
    loss.backward()
    return loss.detach()


@torch.no_grad()
def inference(model: nn.Module, x: Tensor) -> Tensor:
    """The forward pass without a gradient."""
    output: Tensor = model(x)[0]
    return output


PHASES: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "train": train_step,
    "inference": inference,
}


def draw_input(task: Task, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """A random input (time, batch, features), the same for every implementation."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(task.time, task.batch, task.features, generator=generator).to(device, dtype)


MAX_DIFFERENCE = {"float64": 1e-12, "float32": 1e-5, "tf32": 1e-2, "bfloat16": 5e-2}
"""Maximum difference from torch.nn, relative to the largest element, by precision.

The significands have 52, 23, 10 and 7 bits."""


def check_equal(models: dict[str, nn.Module], x: Tensor, precision: str = "float32") -> None:
    """Check that every implementation has the outputs and gradients of torch.nn.

    Raises:
        AssertionError: an implementation differs; the message names it and the tensor.
    """
    compare({name: outputs_and_gradients(model, x) for name, model in models.items()}, precision)


def compare(seen: dict[str, dict[str, Tensor]], precision: str) -> None:
    """Check that every implementation has the results of torch.nn.

    Args:
        seen: for each implementation, its results by name.
        precision: a key of ``MAX_DIFFERENCE``.

    Raises:
        AssertionError: an implementation differs; the message names it and the tensor.
    """
    expected = seen[BUILTIN]
    for name, results in seen.items():
        assert results.keys() == expected.keys(), f"{name} has {', '.join(results)}"
        for what, got in results.items():
            bound = MAX_DIFFERENCE[precision] * expected[what].abs().max().item()
            torch.testing.assert_close(
                got,
                expected[what],
                rtol=0,
                atol=bound,
                msg=lambda message, name=name, what=what: f"{what} of {name}: {message}",
            )


def outputs_and_gradients(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The outputs, and the gradient of every weight under torch.nn's name."""
    seen = {"outputs": inference(model, x).clone()}  # a CUDA graph reuses the memory of its outputs
    train_step(model, x)
    for name, weight in model.state_dict(keep_vars=True).items():
        seen[torch_name(name)] = weight.grad
    return seen


def torch_name(name: str) -> str:
    """torch.nn's name of a weight: cells.0.weight_ih of CellLoop is weight_ih_l0 of the others."""
    return re.sub(r"^cells\.(\d+)\.(\w+)$", r"\2_l\1", name)
