"""Commands that are printed for the user to copy into a shell."""

import os
import shlex
from collections.abc import Iterable


def shell_join(words: Iterable[str]) -> str:
    """The words of a command, quoted so that a shell reads each of them unchanged.

    A name with line breaks, or with bytes that are not UTF-8, is written as ``$'a\\nb'``, which
    bash, zsh and ksh read.
    """
    return " ".join(shlex.quote(word) if word.isprintable() else _escaped(word) for word in words)


def _escaped(word: str) -> str:
    characters = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in "'\\" else f"\\{byte:03o}"
        for byte in os.fsencode(word)
    )
    return f"$'{''.join(characters)}'"
