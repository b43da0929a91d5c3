"""The layers of this project."""

from torch import nn

import scratch_cells
from benchmarks.frameworks.torch_layers import VERSION, TorchContender


class ScratchContender(TorchContender):
    """A layer of scratch_cells."""

    def make(self, kind: str, *sizes: int) -> nn.Module:
        layer: nn.Module = getattr(scratch_cells, kind)(*sizes)
        return layer


CONTENDER = ScratchContender
__all__ = ["CONTENDER", "VERSION"]
