"""What a module does that none of torch.nn's does: draw random numbers, keep values, normalize."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from cell_verifier.calling.arguments import names
from cell_verifier.calling.discover import Trial
from cell_verifier.parameters.groups import is_normalization
from cell_verifier.reference.probes import Probe

NORMALIZING = names(
    "layer_norm rms_norm group_norm instance_norm batch_norm std var std_mean var_mean"
)
"""Names of functions that only a normalization calls in a recurrent cell."""


class _RecordNames(TorchFunctionMode):
    """Records the names of the torch functions that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self.names.add(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


def normalizes(module: nn.Module, trial: Trial, probe: Probe) -> bool:
    """Whether the module contains a normalization layer or computes one in its forward pass."""
    if any(is_normalization(part) for part in module.modules()):
        return True
    with _RecordNames() as recorded:
        trial.convention.run(module, probe.copy())
    own_formula = "mean" in recorded.names and recorded.names & {"sqrt", "rsqrt", "pow"}
    return bool(own_formula or recorded.names & NORMALIZING)


def draws_random_numbers(module: nn.Module, trial: Trial, probe: Probe) -> bool:
    """Whether equal calls return different values, but the same ones after the same seed."""
    seeded = [_run(module, trial, probe, seed=0) for _ in range(2)]
    return _same(*seeded) and not _same(seeded[0], _run(module, trial, probe, seed=1))


def keeps_values(module: nn.Module, trial: Trial, probe: Probe) -> bool:
    """Whether equal calls return different values although the seed is the same."""
    return not _same(*(_run(module, trial, probe, seed=0) for _ in range(2)))


def _run(module: nn.Module, trial: Trial, probe: Probe, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return trial.convention.run(module, probe.copy())


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(
        torch.equal(part.nan_to_num(), other[name].nan_to_num()) for name, part in one.items()
    )
