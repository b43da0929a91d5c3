"""Programs of torch: a module, torch.export's ``.pt2``, and TorchScript's ``.pt``."""

import copy
import importlib
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cell_verifier.errors import CannotCheckError
from cell_verifier.formats.program import Program
from cell_verifier.formats.weights import as_tensor
from command_line.errors import own_line

OPERATOR_PACKAGES = {"recurrent_by_hand": "scratch_cells"}
"""Namespace of custom operators in a file -> the package that registers them when imported."""


def open_pt2(path: Path) -> Program:
    """The program in a file of ``torch.export.save``.

    Raises:
        CannotCheckError: the file cannot be loaded.
    """
    _import_operators(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.export.load(path)
    except Exception as error:
        raise CannotCheckError(f"cannot load {path}: {own_line(error)}") from error
    return exported_program(exported, path.name)


def exported_program(exported: "torch.export.ExportedProgram", name: str) -> Program:
    """The program of ``torch.export.export``."""
    arrays = {**exported.state_dict, **exported.constants}
    arguments, _ = exported.example_inputs or ((), {})
    signature = exported.graph_signature
    x_name = signature.user_inputs[0] if signature.user_inputs else ""
    sizes: tuple[int | None, int | None] = (None, None)
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.name == x_name:
            first, second = (
                each if isinstance(each, int) else None for each in [*node.meta["val"].shape][:2]
            )
            sizes = first, second
    form = "tuple" if len(arguments) == 2 else "separate" if len(arguments) > 2 else "none"
    module = exported.module()
    return Program(
        name=name,
        run=module,
        arrays=_tensors(arrays),
        dtype=_dtype(arrays),
        sizes=sizes,
        state_forms=(form,),
    )


def open_torchscript(path: Path) -> Program:
    """The program in a file of ``torch.jit.save``.

    Raises:
        CannotCheckError: the file cannot be loaded.
    """
    _import_operators(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit is deprecated
            module = torch.jit.load(str(path), map_location="cpu")
    except Exception as error:
        raise CannotCheckError(
            f"cannot load {path} as TorchScript: {own_line(error)}; of a file with weights alone, "
            "give FILE.py:NAME, and the file with --weights"
        ) from error
    return module_program(module, path.name)


def module_program(module: nn.Module, name: str = "") -> Program:
    """The program of a module: compiled, scripted, quantised, or any other with its weights."""
    original = getattr(module, "_orig_mod", module)  # of torch.compile
    arrays = _tensors(_state_of(original))
    quantised = any(re.search(r"quantized|quantizable", str(type(m))) for m in module.modules())
    # A scripted layer of torch.nn has one method for tensors and one for packed sequences.
    of_tensors = getattr(module, "forward__0", None)
    run = module if of_tensors is None or hasattr(module, "forward") else of_tensors
    return Program(
        name=name or type(original).__name__,
        run=run,
        arrays={key.removeprefix("_orig_mod."): value for key, value in arrays.items()},
        dtype=torch.float32 if quantised else _dtype(arrays),
        batch_first=getattr(original, "batch_first", None),
        is_quantised=quantised,
        module=module,
    )


def _state_of(module: nn.Module) -> Mapping[str, Any]:
    state = dict(module.state_dict())
    for name, part in module.named_parameters():
        state.setdefault(name, part)
    return state


def _tensors(arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: as_tensor(each) for name, each in arrays.items() if isinstance(each, Tensor)}


def _dtype(arrays: Mapping[str, Any]) -> torch.dtype:
    dtypes = [each.dtype for each in arrays.values() if isinstance(each, Tensor)]
    return next((dtype for dtype in dtypes if dtype.is_floating_point), torch.float32)


def _import_operators(path: Path) -> None:
    """Import the packages that register the custom operators of a file.

    The file holds their names alone, so that torch cannot load it without them.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        graphs = [name for name in archive.namelist() if name.endswith((".py", ".json"))]
        content = b"".join(map(archive.read, graphs))
    for namespace, package in OPERATOR_PACKAGES.items():
        if namespace.encode() in content:
            importlib.import_module(package)


def differentiable(program: Program) -> bool:
    """Whether gradients pass through the program to its input."""
    return program.module is not None and not program.is_quantised


def in_train_mode(module: nn.Module) -> Callable[..., Any]:
    """A copy of a module in train mode."""
    return copy.deepcopy(module).train()
