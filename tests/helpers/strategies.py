"""Hypothesis strategies: the configuration of a layer and of one call of it."""

from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

KINDS = ("RNN", "GRU", "LSTM")
LAYOUTS = ("batched", "unbatched", "packed sorted", "packed unsorted")


@dataclass(frozen=True)
class Configuration:
    """One layer and one call of it. Its repr is enough to reproduce the call."""

    kind: str
    options: dict[str, Any]
    layout: str = "batched"
    time: int = 4
    batch: int = 3
    lengths: tuple[int, ...] = ()
    given_state: bool = True
    training: bool = True
    dtype: torch.dtype = torch.float64
    device: str = "cpu"
    seed: int = 0
    directions: int = field(init=False, default=1)

    def __post_init__(self) -> None:
        object.__setattr__(self, "directions", 1 + bool(self.options.get("bidirectional")))

    def build(self, package: Any) -> nn.Module:
        """Create the layer from a package with torch.nn's class names, initialized by the seed."""
        torch.manual_seed(self.seed)
        layer: nn.Module = getattr(package, self.kind)(**self.options, dtype=self.dtype)
        return layer.to(self.device).train(self.training)

    def input(self) -> tuple[Tensor | PackedSequence, Tensor]:
        """The input of the call, and the leaf tensor that receives its gradient."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        size = self.options["input_size"]
        shape = {
            "unbatched": (self.time, size),
            "batched": (self.batch, self.time, size),
        }.get(self.layout, (self.time, self.batch, size))
        if self.layout == "batched" and not self.options.get("batch_first"):
            shape = (self.time, self.batch, size)
        leaf = torch.randn(shape, generator=generator, dtype=self.dtype)
        leaf = leaf.to(self.device).requires_grad_()
        if not self.layout.startswith("packed"):
            return leaf, leaf
        packed = pack_padded_sequence(
            leaf, torch.tensor(self.lengths), enforce_sorted=self.layout == "packed sorted"
        )
        return packed, leaf

    def state(self) -> tuple[Tensor, ...]:
        """The parts of a random initial state."""
        generator = torch.Generator().manual_seed(self.seed + 2)
        hidden = self.options["hidden_size"]
        sizes = [self.options.get("proj_size") or hidden]
        if self.kind == "LSTM":
            sizes.append(hidden)
        rows = self.options.get("num_layers", 1) * self.directions
        middle = () if self.layout == "unbatched" else (self.batch,)
        drawn = (
            torch.randn((rows, *middle, size), generator=generator, dtype=self.dtype)
            for size in sizes
        )
        return tuple(part.to(self.device).requires_grad_() for part in drawn)


@st.composite
def configurations(
    draw: st.DrawFn,
    kinds: tuple[str, ...] = KINDS,
    dtype: torch.dtype = torch.float64,
    layouts: tuple[str, ...] = LAYOUTS,
    device: str = "cpu",
) -> Configuration:
    """Draw every constructor option and every layout of the input, including sizes 0 and 1."""
    kind = draw(st.sampled_from(kinds))
    layout = draw(st.sampled_from(layouts))
    num_layers = draw(st.integers(1, 3))
    hidden_size = draw(st.integers(1, 5))
    options: dict[str, Any] = {
        "input_size": draw(st.integers(1, 4)),
        "hidden_size": hidden_size,
        "num_layers": num_layers,
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        # p = 1 sets everything between the layers to zero; one layer has no dropout
        "dropout": draw(st.sampled_from([0.0, 0.4, 1.0])) if num_layers > 1 else 0.0,
        "bidirectional": draw(st.booleans()),
    }
    # Not in float32: near 0, two correct results may be rounded to different sides of ReLU's kink
    if kind == "RNN" and dtype == torch.float64:
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    if kind == "LSTM" and hidden_size > 1:
        options["proj_size"] = draw(st.integers(0, hidden_size - 1))
    packed = layout.startswith("packed")
    time = draw(st.integers(1, 6))
    batch = 1 if layout == "unbatched" else draw(st.integers(1 if packed else 0, 4))
    lengths: tuple[int, ...] = ()
    if packed:
        drawn = draw(st.lists(st.integers(1, time), min_size=batch, max_size=batch))
        lengths = tuple(sorted(drawn, reverse=True)) if layout == "packed sorted" else tuple(drawn)
    return Configuration(
        kind=kind,
        options=options,
        layout=layout,
        time=time,
        batch=batch,
        lengths=lengths,
        given_state=draw(st.booleans()),
        training=draw(st.booleans()),
        dtype=dtype,
        device=device,
        seed=draw(st.integers(0, 2**16)),
    )
