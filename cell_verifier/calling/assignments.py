"""Values for arguments of the user's constructor, from the command line. Imports no torch."""

import ast
from collections.abc import Sequence
from typing import Any


def parse_assignments(texts: Sequence[str]) -> dict[str, Any]:
    """``["output_size=5", "device=cpu"]`` -> ``{"output_size": 5, "device": "cpu"}``.

    A value that is not a Python literal is text.

    Raises:
        ValueError: a text is not NAME=VALUE.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier()):
            raise ValueError(f"{text!r} is not NAME=VALUE")
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            values[name] = value
    return values
