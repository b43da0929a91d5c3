"""command_line/shell.py: a shell reads the printed words unchanged."""

import os
import subprocess

import pytest

from command_line.shell import shell_join

WORDS = [
    "runs/a",
    "a b",
    "a\nb",
    "a\udce9b",
    "it's",
    "it's\n",
    "$x_$",
    "\\\n",
    "\x07",
    "é\n",
    "",
    "5\n5",
]


@pytest.mark.parametrize("word", WORDS, ids=ascii)
def test_a_shell_reads_every_word_unchanged(word: str) -> None:
    line = shell_join(["printf", "%s|", word, "end"])
    assert line.isprintable()
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert done.stdout == os.fsencode(f"{word}|end|")
