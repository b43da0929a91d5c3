"""Forward passes that take their weights in a dictionary: ``lstm_cell_forward(x, h, c, p)``."""

import contextlib
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

HEAD = ("wy", "wya", "why", "by")
"""Parameters of an output layer in the same dictionary. Their gradients are not compared."""

OUTPUTS = 2
"""Number of outputs of that layer."""


class _Recorder(dict[str, Any]):
    """A dictionary that records which keys are read."""

    def __missing__(self, key: str) -> Any:
        self[key] = np.zeros((1, 1))
        return self[key]


def unpack_dictionary(
    forward: Callable[..., Any], names: list[str]
) -> tuple[Callable[..., Any], list[str]]:
    """The forward pass with one argument for each key of its dictionary, and their names.

    Only a last argument called ``parameters``, ``params``, ``weights`` or ``p`` is a dictionary;
    otherwise the forward pass is returned as it is. The keys are those that a first call reads.
    """
    if not names or names[-1].lower() not in ("parameters", "params", "weights", "p"):
        return forward, names
    recorder = _Recorder()
    with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
        forward(*(np.zeros((1, 1)) for _ in names[:-1]), recorder)
    keys = [key for key in recorder if isinstance(key, str) and key.lower() not in HEAD]
    head = [key for key in recorder if isinstance(key, str) and key.lower() in HEAD]
    if not keys:
        return forward, names
    plain = len(names) - 1

    def unpacked(*arrays: Any) -> Any:
        parameters: Mapping[str, Any] = dict(zip(keys, arrays[plain:], strict=True))
        hidden_size = arrays[1].shape[0]  # of samples as columns, as in the courses that do this
        extra = {key: np.ones((OUTPUTS, hidden_size if key[0] in "Ww" else 1)) for key in head}
        return forward(*arrays[:plain], {**parameters, **extra})

    return unpacked, [*names[:-1], *keys]
