"""Code in the symbols of the equations."""

import re

SYMBOLS = (
    (r"\b([a-z]\w*) @ w_(\w+)\.T\b", r"W_\2 \1"),
    (r"\bw_(\w+)\.T\b", r"W_\1ᵀ"),
    (r"\bw_([a-z]+)\b", r"W_\1"),
    (r"\btorch\.sigmoid\(", "σ("),
    (r"\btorch\.(tanh|relu|cat|stack)\(", r"\1("),
    (r"\.T\b", "ᵀ"),
    (r" \* ", " ⊙ "),
    (r" \*\* 2\b", "²"),
    (r"_next\b", "'"),
)
"""Regular expressions of Python code, each with its symbol."""


def in_symbols(code: str) -> str:
    """Code in the symbols of the equations: ``f * c`` becomes ``f ⊙ c``."""
    for pattern, symbol in SYMBOLS:
        code = re.sub(pattern, symbol, code)
    return code
