"""Write the results of benchmarks.sweep and benchmarks.frameworks to the documentation.

    python -m benchmarks.speed_page --sweeps RUN.json ... --frameworks RUN.json ...
    python -m benchmarks.speed_page     only the table of threads, which follows from the code

The tables of docs/results/speed.md and the pictures in docs/figures are replaced; the text around
the tables stays. With several runs, a value is the median of the runs, and the range in brackets is
their lowest and highest.
"""

import bisect
import dataclasses
import json
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

import scratch_cells
from benchmarks import sweep
from benchmarks.frameworks import measure, report
from benchmarks.frameworks.contenders import SCRATCH
from command_line.errors import ROOT, ConfigError
from command_line.files import atomic_write
from command_line.program import clean_exit, parse_arguments

PAGE = ROOT / "docs" / "results" / "speed.md"
FIGURES = ROOT / "docs" / "figures"

AnyRow = TypeVar("AnyRow", sweep.Row, measure.Row)

THREADS = (1, 2, 4, 8, 16)
STEPS, MAX_BATCH = 28, 4096
SHAPES = (
    ("LSTM", 128, 128),
    ("GRU", 256, 256),
    ("LSTM", 256, 256),
    ("LSTM", 256, 512),
    ("LSTM", 650, 650),
    ("LSTM", 1024, 1024),
)
"""Kind, input size and hidden size of the layers in the table of threads."""

AVERAGED = ("milliseconds", "builtin_milliseconds", "difference")


@dataclass(frozen=True)
class Arguments:
    """Write measured results to docs/results/speed.md and draw its pictures."""

    sweeps: tuple[Path, ...] = ()
    """JSON files of benchmarks.sweep, one for each run; without any, the section stays."""
    frameworks: tuple[Path, ...] = ()
    """JSON files of benchmarks.frameworks, one for each run; without any, the section stays."""


def main(arguments: Arguments) -> None:
    """Replace the sections of the page and draw the pictures."""
    sections = {"threads": threads_section()}
    if arguments.sweeps:
        runs = [read(path, sweep.Row) for path in arguments.sweeps]
        sections["sweep"] = sweep_section(runs)
        sweep.draw_rows(merge([run.rows for run in runs]), FIGURES / "sweep.png", runs[0].title)
    if arguments.frameworks:
        found = [read(path, measure.Row) for path in arguments.frameworks]
        sections["frameworks"] = frameworks_section(found)
        title = found[0].title
        report.draw_rows(merge([run.rows for run in found]), FIGURES / "frameworks.png", title)
    text = replace_sections(PAGE.read_text(), sections)
    with atomic_write(PAGE) as file:
        file.write(text.encode())


@dataclass(frozen=True)
class Run:
    """One file: what the results depend on, and the rows."""

    about: dict[str, Any]
    rows: list[Any]

    @property
    def title(self) -> str:
        """What the results depend on, on one line."""
        return ", ".join(f"{name} {value}" for name, value in self.about.items())


def read(path: Path, kind: type[Any]) -> Run:
    """Read a file of one of the two benchmarks.

    Raises:
        ConfigError: it is not such a file.
    """
    try:
        written = json.loads(path.read_text())
        return Run(written["about"], [kind(**row) for row in written["rows"]])
    except (ValueError, KeyError, TypeError) as error:
        name = kind.__module__.removesuffix(".measure")
        raise ConfigError(f"{path} is not a JSON file of {name}: {error!r}") from error


def merge(runs: Sequence[Sequence[AnyRow]]) -> list[AnyRow]:
    """One row for each row of the first run: the median of the runs, and their range."""
    if len(runs) == 1:
        return list(runs[0])
    merged = []
    for row in runs[0]:
        same = [other for run in runs for other in run if key(other) == key(row)]
        problems = [other.problem for other in same if other.problem]
        medians = [other.median for other in same if other.median is not None]
        if problems or not medians:
            merged.append(dataclasses.replace(row, median=None, problem="; ".join(problems)))
            continue
        values: dict[str, Any] = {
            name: statistics.median(getattr(other, name) for other in same)
            for name in AVERAGED
            if hasattr(row, name)
        }
        values |= {
            "median": statistics.median(medians),
            "low": min(medians),
            "high": max(medians),
        }
        merged.append(dataclasses.replace(row, **values))
    return merged


def key(row: sweep.Row | measure.Row) -> tuple[str, ...]:
    """What identifies a row in a run."""
    first = row.allocator if isinstance(row, sweep.Row) else row.framework
    name = row.case if isinstance(row, sweep.Row) else row.task
    return first, name, row.kind, row.phase


def sweep_section(runs: Sequence[Run]) -> str:
    """The counts of each run, the slowest cases, and a table for each setting of the allocator."""
    rows = merge([run.rows for run in runs])
    parts = [f"{runs[0].title}.", counts_table(runs)]
    worst = [
        f"- {each.setting}, {each.group}: {'; '.join(each.worst)}" for each in sweep.summary(rows)
    ]
    parts += ["The largest ratios:", "\n".join(worst)]
    parts.append("![The ratios of the tables below as colours](../figures/sweep.png)")
    for allocator in dict.fromkeys(row.allocator for row in rows):
        chosen = [row for row in rows if row.allocator == allocator]
        parts += [f"Allocator: {allocator}.", sweep_table(chosen)]
    return "\n\n".join(parts)


def counts_table(runs: Sequence[Run]) -> str:
    """A line for each run, setting of the allocator and group of cases."""
    table = [["allocator", "cases", "run", "at most 1.00", "at most 1.10", "geometric mean"]]
    table += [
        [
            each.setting,
            each.group,
            str(number),
            f"{each.not_slower} of {each.number}",
            f"{each.within_tenth} of {each.number}",
            f"{each.mean:.2f}",
        ]
        for number, run in enumerate(runs, start=1)
        for each in sweep.summary(run.rows)
    ]
    return report.markdown_table([table[0], *sorted(table[1:], key=lambda line: line[:3])])


def sweep_table(rows: Sequence[sweep.Row]) -> str:
    """A line for each case and a column for each cell and phase."""
    columns = list(dict.fromkeys((row.kind, row.phase) for row in rows))
    table = [["case", *(" ".join(column) for column in columns)]]
    for case in dict.fromkeys(row.case for row in rows):
        cells = {(row.kind, row.phase): _ratio(row) for row in rows if row.case == case}
        table.append([case, *(cells.get(column, "") for column in columns)])
    return report.markdown_table(table)


def _ratio(row: sweep.Row) -> str:
    if row.median is None:
        return "failed"
    return f"{row.median:.2f} ({row.low:.2f} to {row.high:.2f})"


def frameworks_section(runs: Sequence[Run]) -> str:
    """The versions, where this project is fastest, the times, and the accuracy."""
    rows = merge([run.rows for run in runs])
    ahead = fastest(rows)
    number = sum(ahead.values())
    behind = ", ".join(" ".join(place) for place, first in ahead.items() if not first)
    text = f"This project is the fastest in {number} of {len(ahead)} lines"
    return "\n\n".join(
        [
            f"{runs[0].title}. Runs: {len(runs)}.",
            f"{text}; not in: {behind}." if behind else f"{text}.",
            "![The ratios of the table below as colours](../figures/frameworks.png)",
            report.markdown(rows),
            "The largest difference from the float64 result, relative to the largest element:",
            accuracy_table(rows),
        ]
    )


def fastest(rows: Iterable[measure.Row]) -> dict[tuple[str, str, str], bool]:
    """For each line of the table, whether this project was timed and no framework is faster."""
    found: dict[tuple[str, str, str], bool] = {}
    for row in rows:
        place = row.task, row.kind, row.phase
        if row.framework == SCRATCH:
            first = row.median is not None
        else:
            first = row.median is None or row.median <= 1
        found[place] = found.get(place, True) and first
    return found


def accuracy_table(rows: Sequence[measure.Row]) -> str:
    """The largest difference of each framework, by phase, over all tasks and layers."""
    names = list(dict.fromkeys(row.framework for row in rows))
    table = [["phase", *names]]
    for phase in dict.fromkeys(row.phase for row in rows):
        found = {
            name: [
                row.difference
                for row in rows
                if (row.framework, row.phase) == (name, phase) and row.difference is not None
            ]
            for name in names
        }
        table.append([phase, *(f"{max(found[name]):.0e}" if found[name] else "" for name in names)])
    return report.markdown_table(table)


def threads_section() -> str:
    """The smallest batch for which the default path is the C backend, by layer and threads."""
    table = [["layer", *(f"{n} thread{'s' if n > 1 else ''}" for n in THREADS)]]
    for kind, inputs, units in SHAPES:
        layer = getattr(scratch_cells, kind)(inputs, units)
        batches = [str(smallest_batch(layer, threads)) for threads in THREADS]
        table.append([f"{kind}, {inputs} inputs, {units} units", *batches])
    return report.markdown_table(table)


def smallest_batch(layer: Any, threads: int) -> int:
    """The smallest batch that runs in C with this number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return 1 + bisect.bisect_left(
            range(1, MAX_BATCH),
            True,
            key=lambda batch: (
                layer.backend_for(torch.empty(STEPS, batch, layer.input_size)).name == "c"
            ),
        )
    finally:
        torch.set_num_threads(before)


def replace_sections(text: str, sections: dict[str, str]) -> str:
    """Replace what is between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``.

    Raises:
        ConfigError: the page does not have the section.
    """
    for name, content in sections.items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        section = f"{begin}\n{content}\n\n{end}"  # Markdown needs the empty lines
        text, count = re.subn(f"{begin}.*?{end}", lambda _, new=section: new, text, flags=re.DOTALL)
        if count != 1:
            raise ConfigError(f"{PAGE} has {count} sections {name}: expected 1")
    return text


if __name__ == "__main__":
    program = "python -m benchmarks.speed_page"
    with clean_exit(program):
        main(parse_arguments(Arguments, program))
