"""torch.nn's layers."""

from typing import Any

import torch
from torch import nn

from benchmarks.frameworks.job import NAMES, Array, Contender, Job


class TorchContender(Contender):
    """A layer with torch.nn's interface. Weights: the arrays of its ``state_dict()``."""

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(job.threads)
        layer = self.make(job.kind, job.x.shape[-1], job.hidden_size, job.num_layers)
        layer.load_state_dict({n: torch.from_numpy(w) for n, w in job.weights.items()})
        self.layer, self.x = layer, torch.from_numpy(job.x)
        parts = tuple(map(torch.from_numpy, job.state))
        self.state = parts if job.kind == "LSTM" else parts[0]

    def make(self, kind: str, *sizes: int) -> nn.Module:
        """The layer."""
        layer: nn.Module = getattr(nn, kind)(*sizes)
        return layer

    @torch.no_grad()
    def inference(self) -> Any:
        return self.layer(self.x, self.state)

    def train(self) -> Any:
        self.layer.zero_grad()
        self.layer(self.x, self.state)[0].square().mean().backward()
        return {name: weight.grad for name, weight in self.weights.items()}

    @property
    def weights(self) -> dict[str, Any]:
        """The parameters under torch.nn's names."""
        found: dict[str, Any] = self.layer.state_dict(keep_vars=True)
        return found

    def arrays(self, phase: str, result: Any) -> dict[str, Array]:
        if phase == "train":
            return {name: gradient.numpy() for name, gradient in result.items()}
        outputs, state = result
        parts = state if isinstance(state, tuple) else (state,)
        return dict(zip(NAMES, (tensor.numpy() for tensor in (outputs, *parts)), strict=False))


CONTENDER = TorchContender
VERSION = f"torch {torch.__version__}"
