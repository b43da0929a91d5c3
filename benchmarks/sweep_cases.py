"""The cases of ``benchmarks.sweep``: what is timed, and the check that comes before it."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from benchmarks.implementations import BUILTIN, KINDS, compare
from benchmarks.timing import interleave, rounds_within
from scratch_cells import from_torch

SCRATCH = "scratch"
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """A layer or a single cell of torch.nn, and its input.

    Attributes:
        input: draws the input.
        sizes: input size and hidden size.
        options: further arguments of the layer.
        kinds: the kinds of layers for which the case is run.
        suffix: "Cell" for the single cells, which compute one step.
        autocast: run under autocast with bfloat16.
    """

    input: Callable[[], Any]
    sizes: tuple[int, int]
    options: dict[str, Any] = field(default_factory=dict)
    kinds: tuple[str, ...] = KINDS
    suffix: str = ""
    autocast: bool = False

    @property
    def precision(self) -> str:
        """The key of the tolerance in ``MAX_DIFFERENCE``."""
        dtype = torch.bfloat16 if self.autocast else self.options.get("dtype", torch.float32)
        return str(dtype).removeprefix("torch.")

    def builtin(self, kind: str) -> nn.Module:
        """torch.nn's layer or cell."""
        layer: nn.Module = getattr(nn, kind + self.suffix)(*self.sizes, **self.options)
        return layer


def _draw(*shape: int, dtype: torch.dtype = torch.float32) -> Callable[[], Tensor]:
    return lambda: torch.randn(shape, dtype=dtype)


def _packed(time: int, batch: int, features: int, shortest: int, sort: bool) -> Callable[[], Any]:
    """Sequences of ``shortest`` to ``time`` steps, evenly distributed, longest first or mixed."""

    def draw() -> PackedSequence:
        lengths = torch.linspace(time, shortest, batch).long()
        if not sort:
            lengths = lengths[torch.randperm(batch)]
        x = torch.randn(time, batch, features)
        return pack_padded_sequence(x, lengths, enforce_sorted=sort)

    return draw


LAYERS = {
    "rows: B100 T28 I28 H128 L2": Case(
        _draw(100, 28, 28), (28, 128), {"num_layers": 2, "batch_first": True}
    ),
    "rows, batch 1": Case(_draw(1, 28, 28), (28, 128), {"num_layers": 2, "batch_first": True}),
    "one step: B1 T1 I128 H128": Case(_draw(1, 1, 128), (128, 128), {"batch_first": True}),
    "B1 T1000 I1 H64": Case(_draw(1000, 1, 1), (1, 64)),
    "B8 T200 I64 H64 L2, bidirectional": Case(
        _draw(200, 8, 64), (64, 64), {"num_layers": 2, "bidirectional": True}
    ),
    "B64 T50 I300 H256, bidirectional, packed": Case(
        _packed(50, 64, 300, shortest=5, sort=True), (300, 256), {"bidirectional": True}
    ),
    "B32 T100 I40 H128, packed, unsorted": Case(
        _packed(100, 32, 40, shortest=20, sort=False), (40, 128)
    ),
    "B256 T20 I16 H16": Case(_draw(20, 256, 16), (16, 16)),
    "B1024 T28 I28 H128": Case(_draw(28, 1024, 28), (28, 128)),
    "word model: B16 T35 I650 H650 L2": Case(_draw(35, 16, 650), (650, 650), {"num_layers": 2}),
    "wide: B32 T64 I256 H512": Case(_draw(64, 32, 256), (256, 512)),
    "B8 T32 I1024 H1024": Case(_draw(32, 8, 1024), (1024, 1024)),
    "rows, L1, float64": Case(
        _draw(28, 100, 28, dtype=torch.float64), (28, 128), {"dtype": torch.float64}
    ),
    "rows, L1, bfloat16": Case(
        _draw(28, 100, 28, dtype=torch.bfloat16), (28, 128), {"dtype": torch.bfloat16}
    ),
    "rows, L1, autocast to bfloat16": Case(_draw(28, 100, 28), (28, 128), autocast=True),
    "B32 T64 I128 H256, projected to 64": Case(
        _draw(64, 32, 128), (128, 256), {"proj_size": 64}, kinds=("LSTM",)
    ),
    "T100 I32 H64, unbatched": Case(_draw(100, 32), (32, 64)),
}
"""By name. B, T, I, H and L are batch, steps, input size, hidden size and layers."""

OTHERS = {
    "one cell: B1 I128 H128": Case(_draw(1, 128), (128, 128), suffix="Cell"),
    "one cell: B100 I28 H128": Case(_draw(100, 28), (28, 128), suffix="Cell"),
    "speaker encoder: B8 T160 I40 H256 L3": Case(
        _draw(8, 160, 40), (40, 256), {"num_layers": 3, "batch_first": True}, kinds=("LSTM",)
    ),
}
"""Cases that are counted apart: single cells, and a model that is converted."""

CASES = LAYERS | OTHERS


def measure(
    name: str, kind: str, phase: str, seconds: float, min_rounds: int, threads: int
) -> dict[str, dict[str, float]]:
    """Time one phase of one case, after checking that the results are equal.

    Args:
        name: the key in ``CASES``.
        kind: "RNN", "GRU" or "LSTM".
        phase: "train" or "inference".
        seconds: roughly how long to measure.
        min_rounds: the number of rounds that are run even if they take longer.
        threads: the number of threads.

    Returns:
        For each implementation the fields of its ``Ratio``.

    Raises:
        AssertionError: the results differ; the message names the tensor.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    case = CASES[name]
    builtin = case.builtin(kind)
    models = {BUILTIN: builtin, SCRATCH: from_torch(builtin)}
    x = case.input()
    calls = {name: _call(model, x, phase, case.autocast) for name, model in models.items()}
    compare({name: _results(models[name], call) for name, call in calls.items()}, case.precision)
    rounds = rounds_within(seconds, min_rounds, calls, CPU)
    ratios = interleave(calls, BUILTIN, rounds, CPU)
    return {name: dataclasses.asdict(ratio) for name, ratio in ratios.items()}


def _call(model: nn.Module, x: Any, phase: str, autocast: bool) -> Callable[[], list[Tensor]]:
    """A function that computes one phase and returns the outputs and the final states."""

    def train() -> list[Tensor]:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            results = tensors_of(model(x))
        results[0].float().square().sum().backward()
        return results

    def inference() -> list[Tensor]:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            return tensors_of(model(x))

    return train if phase == "train" else inference


def _results(model: nn.Module, call: Callable[[], list[Tensor]]) -> dict[str, Tensor]:
    """What the call returns and, after training, the gradient of every weight."""
    results = {f"result {n}": tensor.detach() for n, tensor in enumerate(call())}
    weights = model.state_dict(keep_vars=True)
    return results | {
        name: weight.grad for name, weight in weights.items() if weight.grad is not None
    }


def tensors_of(results: Any) -> list[Tensor]:
    """The tensors in what a layer or a cell returns; of a packed sequence, its data."""
    if isinstance(results, PackedSequence):
        return [results.data]
    if isinstance(results, tuple):
        return [tensor for part in results for tensor in tensors_of(part)]
    return [results]
