"""What several cases use."""

from typing import Any

import torch
from torch import Tensor, nn

DOUBLE: dict[str, Any] = {"dtype": torch.float64}
KINDS = ("RNN", "GRU", "LSTM")


def close(actual: Any, expected: Any) -> None:
    """Compare float64 values."""
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def gradient_of(layer: nn.Module, value: Tensor) -> dict[str, Tensor]:
    """The gradient of ``value`` with respect to each parameter of ``layer``."""
    names, weights = zip(*layer.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(value, weights), strict=True))


def hidden_of(state: Any) -> Tensor:
    """h of a state that is h or (h, c)."""
    hidden: Tensor = state[0] if isinstance(state, tuple) else state
    return hidden


def state_like(kind: str, hidden: Tensor) -> Any:
    """A state of this kind with these values of h, and of c for an LSTM."""
    return (hidden, hidden) if kind == "LSTM" else hidden


def reference(layer: Any) -> nn.Module:
    """torch.nn's layer with copies of the weights of ``layer``, whichever class that is."""
    kind = next(each for each in KINDS if each == type(layer).__name__)
    built: nn.Module = getattr(nn, kind)(
        layer.input_size,
        layer.hidden_size,
        layer.num_layers,
        batch_first=layer.batch_first,
        bidirectional=layer.bidirectional,
        dtype=layer.weight_ih_l0.dtype,
    )
    weights = {name: getattr(layer, name).detach() for name, _ in built.named_parameters()}
    built.load_state_dict(weights)
    return built
