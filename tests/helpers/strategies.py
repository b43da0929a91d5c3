"""What to draw: a whole configuration of a layer and of one call of it."""

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
    """One layer and one call of it; its repr is all that is needed to run it again."""

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
        """The layer, of ``torch.nn`` or any package with its names, weights drawn from the seed."""
        torch.manual_seed(self.seed)
        layer: nn.Module = getattr(package, self.kind)(**self.options, dtype=self.dtype)
        return layer.to(self.device).train(self.training)

    def input(self) -> tuple[Tensor | PackedSequence, Tensor]:
        """What the layer is called with, and the leaf tensor in it that collects the gradient."""
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
        """The parts of the given initial state, none of them zero."""
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
    """Every option of the constructor, every way to hand over a sequence, sizes of 1 and 0."""
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
        # p = 1 zeroes everything between the layers; a single layer has no place for dropout
        "dropout": draw(st.sampled_from([0.0, 0.4, 1.0])) if num_layers > 1 else 0.0,
        "bidirectional": draw(st.booleans()),
    }
    # float32 leaves ReLU out: near its kink two right answers may round to different sides
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
