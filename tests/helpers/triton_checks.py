"""Helpers for the tests of the Triton backend, in the interpreter and on a GPU."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from scratch_cells.backends import triton_backend
from scratch_cells.backends.triton_backend import TritonKernel
from scratch_cells.cell import Cell, parts
from tests.helpers.backends import unroll_with

EPS = torch.finfo(torch.bfloat16).eps
"""The relative rounding error of bfloat16."""


def prefix_of(kind: str) -> str:
    """The beginning of the names of a cell's kernels."""
    return kind.lower().split()[0]


@contextmanager
def launches() -> Iterator[list[str]]:
    """Collects the names of the kernels that are launched."""
    names = []
    launch = TritonKernel.launch

    def recorded(self: TritonKernel, name: str, *args: Any, **options: Any) -> None:
        names.append(name)
        launch(self, name, *args, **options)

    with mock.patch.object(TritonKernel, "launch", recorded):
        yield names


def values_and_gradients(
    backend: str, cell: Cell, x: Tensor, state: Any, reverse: bool = False
) -> list[Tensor]:
    """Outputs, final state and every gradient of a loss that weighs each element differently."""
    output, final = unroll_with(backend, cell, x, state, reverse=reverse)
    returned = [output, *parts(final)]
    loss = sum(
        (part * torch.linspace(-1, 1, part.numel(), device=part.device).reshape(part.shape)).sum()
        for part in returned
    )
    gradients = torch.autograd.grad(loss, [x, *cell.parameters(), *parts(state)])
    return [*returned, *gradients]


def assert_close(got: list[Tensor], expected: list[Tensor], tolerance: float = 1e-5) -> None:
    """Compare with a tolerance relative to the largest element, at least 1, of each tensor."""
    for a, b in zip(got, expected, strict=True):
        bound = tolerance * max([1.0, *b.abs().flatten().tolist()])
        torch.testing.assert_close(a, b, rtol=0, atol=bound)


def copy_of_kernels(folder: Path, right: str = "", wrong: str = "") -> ModuleType:
    """The kernels from a new file, because Triton reads the source; with one line changed."""
    source = Path(triton_backend._kernels().__file__).read_text()
    if right:
        assert source.count(right) == 1, right
    path = folder / "copied_kernels.py"
    path.write_text(source.replace(right, wrong) if right else source)
    spec = importlib.util.spec_from_file_location("copied_kernels", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
