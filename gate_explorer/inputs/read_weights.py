"""Read a file of weights, which may be damaged or of another program."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from gate_explorer.errors import ExplorerError

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def read_weights(file: Path) -> dict[str, Tensor]:
    """The weights in a file: .safetensors, or a state_dict that ``torch.save`` has written.

    No code that the file contains is run.

    Raises:
        ExplorerError: the file cannot be read, or it contains something other than named tensors
            of floating-point values.
    """
    try:
        if file.suffix == ".safetensors":
            weights = load_file(file)
        else:
            weights = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises almost any exception for a damaged file
        raise ExplorerError(
            f"cannot read weights from {file}: expected .safetensors, or torch.save of a state_dict"
        ) from error
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise ExplorerError(f"{file} does not contain a state_dict: save classifier.state_dict()")
    for name, weight in weights.items():
        if problem := _problem(weight):
            raise ExplorerError(f"{name} in {file} {problem}: save classifier.state_dict()")
    return dict(weights)


def _problem(weight: object) -> str | None:
    """What is wrong with one weight of a state_dict, if anything."""
    if not isinstance(weight, Tensor):
        return f"is of type {type(weight).__name__}, expected a tensor"
    if weight.is_nested or weight.layout != torch.strided or weight.device.type != "cpu":
        return f"is a tensor of layout {weight.layout} on {weight.device}, expected a dense one"
    if weight.dtype not in DTYPES:
        return f"is of {weight.dtype}, expected floating-point values"
    # A small file can declare a tensor of any size whose elements share their memory (stride 0).
    if weight.numel() * weight.element_size() > weight.untyped_storage().nbytes():
        return f"has shape {tuple(weight.shape)}, and the file has fewer elements"
    return None
