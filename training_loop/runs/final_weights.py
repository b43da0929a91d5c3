"""The file of a finished run's weights, model.safetensors.

The tensors are the classifier's state_dict under torch.nn's names. The metadata has the run's
configuration, and a digest of both, which detects damage. A file without this metadata, written by
another program, is read without the check.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from command_line.errors import ConfigError, one_line
from training_loop.config import Config
from training_loop.runs.checkpoint import digest_of


def content_of(weights: dict[str, Tensor], config: Config) -> bytes:
    """The content of the file.

    Args:
        weights: contiguous tensors on the CPU that share no storage.
        config: configuration of the run.
    """
    text = config.to_json()
    return save(weights, {"config": text, "digest": digest_of(weights, text)})


def read(file: Path) -> tuple[dict[str, Tensor], Any]:
    """The weights, and the content of the configuration; None if the file has none.

    Raises:
        ConfigError: the file is missing, damaged, or not a safetensors file.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            names = opened.keys()  # the file itself cannot be iterated over
            weights = {name: opened.get_tensor(name) for name in names}
    except (SafetensorError, OSError, RuntimeError) as error:  # RuntimeError: the file is missing
        reason = one_line(error)
        raise ConfigError(f"{file} is damaged or not a safetensors file ({reason})") from error
    if not {"config", "digest"} & metadata.keys():
        return weights, None
    text = metadata.get("config", "")
    if metadata.get("digest") != digest_of(weights, text):
        raise ConfigError(f"{file} is damaged: its digest does not match its content")
    return weights, json.loads(text)
