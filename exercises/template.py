"""The learner's copy of an exercise, made from the file with the solution.

A source marks what the learner writes::

    # begin solution: compute the gates, then c' and h'
    i = torch.sigmoid(a_i)
    # given:
    # i = torch.tanh(a_i)
    # end solution

In the learner's copy the region becomes the commented lines after ``given:``; without such lines,
a comment with the text after ``begin solution:`` and a line that raises ``NotImplementedError``.
"""

import textwrap
from dataclasses import dataclass

BEGIN, GIVEN, END = "# begin solution:", "# given:", "# end solution"
TODO = "# TODO:"


@dataclass(frozen=True)
class Region:
    """What the learner writes.

    Attributes:
        first, last: the lines of the markers in the source, counted from 1.
        task: the text after ``begin solution:``.
        solution: the lines of the solution, with their indentation.
        given: the lines that the learner's copy has instead.
    """

    first: int
    last: int
    task: str
    solution: tuple[str, ...]
    given: tuple[str, ...]


@dataclass(frozen=True)
class Template:
    """An exercise's source, taken apart.

    Attributes:
        lines: the lines of the source, without line breaks.
        regions: what the learner writes, in order.
    """

    lines: tuple[str, ...]
    regions: tuple[Region, ...]

    @property
    def is_hunt(self) -> bool:
        """Whether the learner gets code with a mistake to find, and not a part to write."""
        return not any(TODO in line for region in self.regions for line in region.given)

    def learners_copy(self) -> str:
        """The file that the learner gets: nothing of the solution is in it."""
        return self._joined([region.given for region in self.regions])

    def solution(self) -> str:
        """The complete file, without the markers."""
        return self._joined([region.solution for region in self.regions])

    def lines_to_write(self) -> list[range]:
        """The lines of each region in the learner's copy, counted from 1."""
        found = []
        shift = 0
        for region in self.regions:
            start = region.first + shift
            found.append(range(start, start + len(region.given)))
            shift += len(region.given) - (region.last - region.first + 1)
        return found

    def _joined(self, parts: list[tuple[str, ...]]) -> str:
        lines: list[str] = []
        start = 0
        for region, part in zip(self.regions, parts, strict=True):
            lines += [*self.lines[start : region.first - 1], *part]
            start = region.last
        return "\n".join([*lines, *self.lines[start:]]) + "\n"


def parse_template(text: str) -> Template:
    """Take an exercise's source apart.

    Raises:
        ValueError: a marker is missing or there is no region.
    """
    lines = text.splitlines()
    regions: list[Region] = []
    begin: int | None = None
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if stripped.startswith(BEGIN):
            if begin is not None:
                raise ValueError(f"line {begin}: this region has no '{END}'")
            begin = number
        elif stripped == END:
            if begin is None:
                raise ValueError(f"line {number}: '{END}' without '{BEGIN}'")
            regions.append(_region(lines, begin, number))
            begin = None
    if begin is not None or not regions:
        raise ValueError(f"line {begin or 1}: expected a region from '{BEGIN}' to '{END}'")
    return Template(tuple(lines), tuple(regions))


def _region(lines: list[str], first: int, last: int) -> Region:
    task = lines[first - 1].strip().removeprefix(BEGIN).strip()
    body = lines[first : last - 1]
    marks = [n for n, line in enumerate(body) if line.strip() == GIVEN]
    solution = body[: marks[0]] if marks else body
    indent = " " * (len(lines[first - 1]) - len(lines[first - 1].lstrip()))
    if marks:
        code = textwrap.dedent("\n".join(body[marks[0] + 1 :]))
        given = [line.removeprefix("#").removeprefix(" ") for line in code.splitlines()]
        given = [f"{indent}{line}".rstrip() for line in given]
    else:
        given = [f"{indent}{TODO} {task}", f"{indent}raise NotImplementedError"]
    return Region(first, last, task, tuple(solution), tuple(given))
