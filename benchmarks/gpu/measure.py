"""Time the contenders of a case, and how far each is from the exact result."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.gpu.cases import CUDNN, Case
from benchmarks.implementations import (
    PHASES,
    CellLoop,
    draw_input,
    inference,
    torch_name,
    train_step,
)
from benchmarks.timing import interleave, peak_memory, rounds_within
from scratch_cells import from_torch

Record = dict[str, Any]


@dataclass(frozen=True)
class Contender:
    """A layer, its input, and its calls of both phases: training and inference."""

    model: nn.Module
    x: Tensor
    calls: dict[str, Callable[[], Any]]


def measure(case: Case, device: torch.device) -> Iterator[Record]:
    """One record for each contender and phase, or with a ``problem`` if it cannot be measured.

    ``difference`` is the largest one from the same layer and input in float32 without TF32.
    """
    task = case.task
    about = {
        "task": task.name,
        "setting": f"batch {task.batch}, {task.time} steps of {task.features}, "
        f"{task.layers} x {task.hidden_size}",
        "hidden_size": task.hidden_size,
        "cell": case.kind,
        "precision": case.precision,
    }
    torch.manual_seed(0)
    dtype = torch.bfloat16 if case.precision == "bfloat16" else torch.float32
    layer = getattr(nn, case.kind)(task.features, task.hidden_size, task.layers)
    layer = layer.to(device, dtype)
    x = draw_input(task, device, dtype)
    allow_tf32(False)
    exact = results(build(CUDNN, layer.float(), x.float(), case))
    allow_tf32(case.precision == "tf32")
    contenders, differences = {}, {}
    for name in case.contenders:
        try:
            contender = build(name, layer.to(dtype), x, case)
            differences[name] = difference(results(contender), exact)
            contenders[name] = contender
        except Exception as error:  # the other contenders are measured
            message = str(error).partition("\n")[0]
            yield about | {"contender": name, "problem": f"{type(error).__name__}: {message}"}
            if isinstance(error, torch.AcceleratorError):
                raise  # nothing runs in this process after an error of the GPU's own
    if CUDNN not in contenders:
        return
    memory = {name: memory_of(name, each, device) for name, each in contenders.items()}
    for phase in PHASES:
        calls = {name: each.calls[phase] for name, each in contenders.items()}
        rounds = rounds_within(case.seconds, case.min_rounds, calls, device)
        for name, ratio in interleave(calls, CUDNN, rounds, device).items():
            of_case = {"contender": name, "phase": phase, "rounds": rounds}
            measured = vars(ratio) | {"difference": differences[name], "bytes": memory[name]}
            yield about | of_case | measured


def allow_tf32(allowed: bool) -> None:
    """Allow TF32 in cuDNN's layers and in matrix products, or not."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed


def build(name: str, layer: nn.RNNBase, x: Tensor, case: Case) -> Contender:
    """The contender with this name, with the weights of ``layer`` and an input of its own.

    Raises:
        RuntimeError: its backend does not run this case.
    """
    base, _, way = name.rpartition(" ") if name.endswith(SUFFIXES) else (name, "", "")
    model = _model(base, layer, case.kind)
    if base not in (CUDNN, CELL_LOOP) and model.backend_for(x).name != base:
        raise RuntimeError(str(model.backend_for(x)))
    x = x.detach().clone().requires_grad_(case.loss_of == "outputs")
    step = train_step if case.loss_of == "final state" else train_step_of_outputs
    called = torch.compile(model) if way == "compiled" else model
    calls = {"train": partial(step, called, x), "inference": partial(inference, called, x)}
    if way == "graph":
        calls = {phase: captured(call, x.device) for phase, call in calls.items()}
    return Contender(model, x, calls)


CELL_LOOP = "cell loop"
SUFFIXES = (" graph", " compiled")


def _model(base: str, layer: nn.RNNBase, kind: str) -> Any:
    """A copy of ``layer`` as torch.nn's, as a loop over torch.nn's cell, or with a backend."""
    if base == CUDNN:
        model = copy.deepcopy(layer)
        model.flatten_parameters()
        return model
    if base == CELL_LOOP:
        return CellLoop(layer, kind).to(layer.weight_ih_l0)
    model = from_torch(copy.deepcopy(layer))
    model.backend = base
    return model


def train_step_of_outputs(model: nn.Module, x: Tensor) -> None:
    """Forward and backward pass, with a loss on all outputs and the gradient of the input."""
    model.zero_grad()
    x.grad = None
    model(x)[0].float().square().mean().backward()


def captured(call: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """The call as one CUDA graph, whose results are in the same memory after every replay.

    On a CPU, which has no graphs, the call itself.
    """
    if device.type != "cuda":
        return call
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(3):  # kernels are compiled, and libraries allocate their memory
            call()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = call()

    def replay() -> Any:
        graph.replay()
        return result

    return replay


def results(contender: Contender) -> dict[str, Tensor]:
    """The outputs and the gradients of the weights and, if it has one, of the input."""
    seen = {"outputs": contender.calls["inference"]()}
    seen["outputs"] = seen["outputs"].float().clone()  # before the next call uses the memory
    contender.calls["train"]()
    for name, weight in contender.model.state_dict(keep_vars=True).items():
        seen[torch_name(name)] = weight.grad.float().clone()
    if contender.x.grad is not None:
        seen["x"] = contender.x.grad.float().clone()
    return seen


def difference(got: dict[str, Tensor], exact: dict[str, Tensor]) -> float:
    """The largest difference of a tensor, relative to its largest element; NaN if one is NaN."""
    assert got.keys() == exact.keys(), f"{sorted(got)} instead of {sorted(exact)}"
    relative = [(got[name] - of).abs().max() / of.abs().max() for name, of in exact.items()]
    return float(torch.stack(relative).max())


def memory_of(name: str, contender: Contender, device: torch.device) -> int | None:
    """Bytes that a training step takes; None for a graph, which has its memory, and on a CPU."""
    if name.endswith(" graph") or device.type != "cuda":
        return None
    return peak_memory(contender.calls["train"], device)
