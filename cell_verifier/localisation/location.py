"""Where a mistake is: the statement, what it computes, and what it should compute."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Location:
    """One wrong statement of the user's file.

    Attributes:
        file: path of the file.
        line, end_line: the first and the last line of the statement, counted from 1.
        source: the statement; empty if the file cannot be read.
        computes: what it computes, in the symbols of torch.nn's equations; empty if unknown.
        expected: what it should compute.
        proved: whether an intervention proves it: with torch.nn's value in its place, the module
            equals torch.nn's in everything compared.
    """

    file: str
    line: int
    end_line: int
    source: str
    computes: str
    expected: str
    proved: bool
