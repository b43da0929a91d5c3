"""Names of program files, without torch; and files with weights."""

from pathlib import Path
from typing import Any

from cell_verifier.errors import CannotCheckError

SUFFIXES = (".onnx", ".pt2", ".pt", ".pth", ".ts")
"""Suffixes of the files that the command takes as programs."""


def is_program_file(target: str) -> bool:
    """Whether a target of the command is a file with a program, not FILE.py:NAME."""
    return target.endswith(SUFFIXES)


def read_weights(path: Path) -> dict[str, Any]:
    """The weights in a file: a state_dict (.pt), .safetensors, or arrays of NumPy (.npz).

    Raises:
        CannotCheckError: the file cannot be read, or holds something else.
    """
    import numpy as np
    import torch
    from safetensors.torch import load_file

    try:
        match path.suffix:
            case ".safetensors":
                return dict(load_file(path))
            case ".npz":
                with np.load(path) as arrays:
                    return dict(arrays)
            case _:
                found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CannotCheckError(f"cannot read the weights in {path}: {error}") from error
    if not isinstance(found, dict):
        raise CannotCheckError(f"{path} holds a {type(found).__name__}: expected a state_dict")
    return found
