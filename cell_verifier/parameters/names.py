"""Group parameters by name: the names of one group differ only in the gate's mark.

In ``W_xi, W_xf, W_hi, W_hf`` the marks are ``i`` and ``f``.
"""

import re
from collections.abc import Sequence

from cell_verifier.reference.kinds import GATE_WORDS

Series = tuple[str, ...]
"""Names that differ only in the gate's mark, one per gate group, in the order of the groups."""


def marks_of(names: Sequence[str]) -> list[str]:
    """The mark of each name: what remains without the common prefix and suffix."""
    if len(names) < 2:
        return [""] * len(names)
    start = _common_prefix(names)
    end = _common_prefix([name[start:][::-1] for name in names])
    return [name[start : len(name) - end] for name in names]


def _common_prefix(names: Sequence[str]) -> int:
    length = 0
    for letters in zip(*names, strict=False):
        if len(set(letters)) > 1:
            break
        length += 1
    return length


def series_by_marks(names: Sequence[str], marks: Sequence[str]) -> list[Series]:
    """Every series in ``names``: the same prefix and suffix around each of ``marks``."""
    found: list[Series] = []
    available = set(names)
    for name in names:
        for at in range(len(name)):
            if marks[0] and name.startswith(marks[0], at):
                before, after = name[:at], name[at + len(marks[0]) :]
                series = tuple(before + mark + after for mark in marks)
                if set(series) <= available and series not in found:
                    found.append(series)
    return found


def group_by_mark(name: str, marks: Sequence[str]) -> int | None:
    """The index of the only mark that this name contains; None if it contains several or none."""
    words = _words(name)
    groups = [n for n, mark in enumerate(marks) if mark and mark in words]
    groups = groups or [n for n, mark in enumerate(marks) if mark and words[-1].endswith(mark)]
    return groups[0] if len(groups) == 1 else None


def role_hint(name: str, gate: str) -> bool:
    """Whether a name contains a common name or letter of this gate."""
    hints = GATE_WORDS[gate]
    last = [word[-1] for word in _words(name) if len(word) == 2]
    return any(word in hints for word in _words(name)) or any(letter in hints for letter in last)


def variable_hint(name: str, gate: str) -> bool:
    """Whether a variable's name suggests this gate: ``f``, ``f_t``, ``ft``, ``forget_gate``."""
    return role_hint(name, gate) or (len(name) == 2 and role_hint(name[0], gate))


def _words(name: str) -> list[str]:
    """The words of a name, without "weight" and "bias": forgetGate.weight -> forget, gate."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name.replace("weight", " ").replace("bias", " "))
    words = [word.lower() for word in re.split(r"[^A-Za-z0-9]+", spaced) if word]
    return words or [name]
