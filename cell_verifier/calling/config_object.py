"""A configuration object as the only argument of a user's constructor."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

CONFIG_NAMES = {
    *("config", "cfg", "conf", "args", "opt", "opts", "options", "hparams", "hps"),
    *("params", "settings"),
}
"""Common names of such an argument."""


def config_argument(parameters: Mapping[str, inspect.Parameter]) -> inspect.Parameter | None:
    """The argument that is a configuration, if the constructor requires no other."""
    required = [
        each
        for each in parameters.values()
        if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    if len(required) != 1:
        return None
    (only,) = required
    is_config = only.name.lower() in CONFIG_NAMES or dataclasses.is_dataclass(only.annotation)
    return only if is_config else None


def config_object(parameter: inspect.Parameter, value_of: Callable[[str], Any]) -> Any:
    """A configuration with ``value_of(name)`` for each of its fields that is read.

    ``value_of`` returns None for a field of which it has nothing: a dataclass then has its
    default.
    """
    kind = parameter.annotation
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        named = {field.name: value_of(field.name) for field in dataclasses.fields(kind)}
        return kind(**{name: value for name, value in named.items() if value is not None})
    return _Config(value_of)


class _Config:
    """Has every attribute, and every key, of which something is known."""

    def __init__(self, value_of: Callable[[str], Any]) -> None:
        self._value_of = value_of

    def __getattr__(self, name: str) -> Any:
        value = None if name.startswith("_") else self._value_of(name)
        if value is None:
            raise AttributeError(
                f"the configuration needs {name!r}, which the verifier cannot know"
            )
        return value

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)
