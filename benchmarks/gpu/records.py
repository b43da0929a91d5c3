"""The results of the stages: JSON, one record a line, added as soon as it is known."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from command_line.errors import ConfigError

Record = dict[str, Any]

Write = Callable[..., None]
"""Adds a record of its keyword arguments."""


def writer(path: Path, stage: str) -> Write:
    """What adds records of a stage to a file."""

    def write(**record: Any) -> None:
        with path.open("a") as file:
            file.write(json.dumps({"stage": stage} | record) + "\n")

    return write


def read(paths: Iterable[Path]) -> list[Record]:
    """The records of several files. Of a stage that is in several, the last file's count.

    Raises:
        ConfigError: one is not a file of records.
    """
    found: dict[str, list[Record]] = {}
    for path in paths:
        of_file: dict[str, list[Record]] = {}
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            try:
                record = json.loads(line)
                of_file.setdefault(record["stage"], []).append(record)
            except (ValueError, TypeError, KeyError) as error:
                raise ConfigError(
                    f"{path}, line {number}: not a result of benchmarks.gpu"
                ) from error
        found |= of_file
    return [record for records in found.values() for record in records]
