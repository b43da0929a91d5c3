"""Write the results of benchmarks.gpu to docs/gpu.md.

    python -m benchmarks.gpu.page runs/gpu/results.jsonl ...

With several files, the last one that has a stage counts for it. The tables of stages that are in no
file stay as they are.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmarks.frameworks.report import markdown_table
from benchmarks.gpu.cases import PUBLISHED_MILLISECONDS
from benchmarks.gpu.records import Record, read
from benchmarks.implementations import PHASES
from benchmarks.pages import write_table
from command_line.errors import ROOT, ConfigError
from command_line.program import clean_exit, parse_arguments

PAGE = ROOT / "docs" / "gpu.md"

MARKS = {
    ("published", "tf32"): ("milliseconds", PUBLISHED_MILLISECONDS["triton"]),
    ("rows", "bfloat16"): ("median", 0.5),
    ("pixels", "bfloat16"): ("median", 0.5),
    ("rows", "float32"): ("median", 1.0),
    ("pixels", "float32"): ("median", 1.0),
}
"""(task, precision) -> the most that a training step with the Triton kernels is to take, in
milliseconds or in cuDNN's time."""


@dataclass(frozen=True)
class Arguments:
    """Write the results of benchmarks.gpu to docs/gpu.md."""

    results: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Files results.jsonl, one for each run."""


def main(arguments: Arguments) -> None:
    """Replace the tables of the stages that were run.

    Raises:
        ConfigError: the results are of a CPU.
    """
    records = read(arguments.results)
    found = [record["facts"] for record in records if "facts" in record]
    if not found or found[-1]["device"] == "cpu":
        raise ConfigError("results is without a GPU: expected the stage machine on a GPU in a file")
    status = f"Measured on one {found[-1]['device']} with torch {found[-1]['torch']}."
    for name, table in {"status": status, **tables(records)}.items():
        write_table(PAGE, name, table)


def tables(records: Iterable[Record]) -> dict[str, str]:
    """A table in Markdown for each stage that has results, by its name."""
    of_stage: dict[str, list[Record]] = {}
    for record in records:
        of_stage.setdefault(record["stage"], []).append(record)
    found = {stage: RENDER[stage](rows) for stage, rows in of_stage.items()}
    if marked := marks_table([row for rows in of_stage.values() for row in rows]):
        found["marks"] = marked
    return found


def machine_table(rows: list[Record]) -> str:
    """Versions, the GPU, and the measured rates."""
    pairs = [item for row in rows for item in row.get("facts", {}).items()]
    pairs += [
        (name, f"{value:.3g}") for row in rows for name, value in row.get("rates", {}).items()
    ]
    return _with_end([["machine", ""], *([name, str(value)] for name, value in pairs)], rows)


def parity_table(rows: list[Record]) -> str:
    """The number of tests, and a line for each that failed."""
    table = [["tests", "number"]]
    for row in rows:
        table += [[name, str(row[name])] for name in ("passed", "skipped", "failed") if name in row]
        table += [[f"failed: {name}", why] for name, why in row.get("failures", {}).items()]
    return _with_end(table, rows)


def timing_table(rows: list[Record]) -> str:
    """A line for each contender: times and ratios to cuDNN's, difference and memory."""
    heading = ["task", "cell", "precision", "contender", "training, ms", "/ cuDNN"]
    table = [[*heading, "inference, ms", "/ cuDNN", "difference", "MiB"]]
    lines: dict[tuple[str, ...], dict[str, Record]] = {}
    for row in rows:
        if "contender" in row:
            key = row["task"], row["cell"], row["precision"], row["contender"]
            lines.setdefault(key, {})[row.get("phase", "problem")] = row
    for key, phases in lines.items():
        if "problem" in phases:
            table.append([*key, phases["problem"]["problem"].replace("|", "/"), *[""] * 5])
            continue
        times = [text for phase in PHASES for text in _times(phases.get(phase))]
        train = next(iter(phases.values()))
        memory = "" if train["bytes"] is None else f"{train['bytes'] / 2**20:.0f}"
        table.append([*key, *times, f"{train['difference']:.0e}", memory])
    settings = {row["task"]: row["setting"] for row in rows if "setting" in row}
    text = "; ".join(f"{task}: {setting}" for task, setting in settings.items())
    return (f"{text}.\n\n" if text else "") + _with_end(table, rows)


def _times(row: Record | None) -> list[str]:
    if row is None:
        return ["", ""]
    return [
        f"{row['milliseconds']:.3f}",
        f"{row['median']:.2f} ({row['low']:.2f} to {row['high']:.2f})",
    ]


def training_table(rows: list[Record]) -> str:
    """The test accuracy of each run after each epoch."""
    table = [["cell", "implementation", "test accuracy after each epoch, %"]]
    for row in rows:
        if "accuracies" in row:
            accuracies = ", ".join(f"{value:.2f}" for value in row["accuracies"])
            table.append([row["cell"], row["variant"], accuracies])
    return _with_end(table, rows)


def kernels_table(rows: list[Record]) -> str:
    """A line for each kernel and size, a column for each precision."""
    precisions = list(dict.fromkeys(row["precision"] for row in rows if "kernel" in row))
    table = [["kernel", "units", *(f"{name}: registers, stack, shared" for name in precisions)]]
    cells = {
        (row["kernel"], row["hidden_size"], row["precision"]): (
            f"{row['registers']}, {row['stack']} B, {row['shared_memory'] / 1024:.0f} KiB"
        )
        for row in rows
        if "kernel" in row
    }
    for kernel, size in dict.fromkeys((kernel, size) for kernel, size, _ in cells):
        found = (cells.get((kernel, size, precision), "") for precision in precisions)
        table.append([kernel, str(size), *found])
    return _with_end(table, rows)


def marks_table(rows: Iterable[Record]) -> str:
    """What was aimed at, what was measured, and by how much it was missed; empty without any."""
    table = [["task", "cell", "precision", "aim", "measured", "missed by"]]
    for row in rows:
        mark = MARKS.get((row.get("task", ""), row.get("precision", "")))
        if mark is None or row.get("contender") != "triton" or row.get("phase") != "train":
            continue
        quantity, aim = mark
        unit = " ms" if quantity == "milliseconds" else " of cuDNN's time"
        measured = row[quantity]
        missed = "" if measured <= aim else f"{100 * (measured / aim - 1):.0f}%"
        line = [f"{aim}{unit}", f"{measured:.2f}{unit}", missed]
        table.append([row["task"], row["cell"], row["precision"], *line])
    return markdown_table(table) if len(table) > 1 else ""


def _with_end(table: list[list[str]], rows: list[Record]) -> str:
    """The table, and a line if the stage did not finish."""
    text = markdown_table(table)
    ends = [row["end"] for row in rows if "end" in row]
    if ends and ends[-1] != "finished":
        text += f"\n\nThis stage: {ends[-1]}."
    return text


RENDER: dict[str, Callable[[list[Any]], str]] = {
    "machine": machine_table,
    "parity": parity_table,
    "published": timing_table,
    "speed": timing_table,
    "training": training_table,
    "sizes": timing_table,
    "graphs": timing_table,
    "kernels": kernels_table,
    "compiled": timing_table,
}
"""Stage -> its table."""


if __name__ == "__main__":
    program = "python -m benchmarks.gpu.page"
    with clean_exit(program):
        main(parse_arguments(Arguments, program))
