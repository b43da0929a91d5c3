"""The options of python -m gate_explorer, read without importing torch."""

import os
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Annotated

import tyro

from gate_explorer.errors import ExplorerError

INPUTS = (
    "config.json",
    "metrics.json",
    "model.safetensors",
    "checkpoint.safetensors",
    "checkpoint-previous.safetensors",
)
"""Files of a run that the explorer reads."""
MAX_COMPARED = 3
"""Runs that fit side by side on the page."""
RECORDED_ONLY = ("compare", "index", "label", "wrong", "image", "png", "npz")
"""Options of the recorded page, which the live page does not have."""


def _option(metavar: str, default: str) -> object:
    """How the help text shows an option whose default value is None."""
    kind = int if metavar == "N" else Path
    return tyro.conf.arg(
        constructor=kind, metavar=metavar, help_behavior_hint=f"(default: {default})"
    )


@dataclass(frozen=True)
class Arguments:
    """Show what happens inside a recurrent layer while it reads a digit, as one HTML page."""

    run: Annotated[
        tyro.conf.Positional[Path | None],
        tyro.conf.arg(metavar="RUN", constructor=Path, help_behavior_hint=""),
    ] = None
    """The run to show: a run folder of train.py, or a file of weights."""
    compare: Annotated[
        tuple[Path, ...], tyro.conf.arg(metavar="RUN RUN [RUN]", help_behavior_hint="")
    ] = ()
    """Show two or three runs side by side instead of one."""
    index: Annotated[int | None, _option("N", "0")] = None
    """Show the test image with this index."""
    label: Annotated[int | None, _option("N", "any")] = None
    """Show the first test image with this label."""
    wrong: bool = False
    """Show the first test image that the run classifies wrongly."""
    image: Annotated[Path | None, _option("FILE", "none")] = None
    """Show this picture of a digit, centred and scaled as the images of the data set were."""
    live: Annotated[
        tuple[Path, ...] | None,
        tyro.conf.arg(metavar="[RUN [RUN [RUN]]]", help_behavior_hint="(default: a recording)"),
    ] = None
    """Write a page that runs the models itself: draw a digit, watch the gates, change them."""
    html: Annotated[Path | None, _option("FILE", "in the folder of the first run")] = None
    """Write the HTML page to this file."""
    png: Annotated[Path | None, _option("FILE", "none")] = None
    """Also write a picture of the last layer to this file, as PNG."""
    npz: Annotated[Path | None, _option("FILE", "none")] = None
    """Also write all observed values to this file, as NumPy arrays (.npz)."""
    implementation: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        tyro.conf.arg(metavar="FILE.py:CLASS", help_behavior_hint="(default: none)"),
    ] = ()
    """Run this Python code as the layer of a run that was trained with a cell of your own."""
    data_dir: Annotated[Path | None, _option("FOLDER", "as the run was trained")] = None
    """The folder that contains MNIST/raw."""

    def __post_init__(self) -> None:
        if self.live is not None:
            for name in RECORDED_ONLY:
                value = getattr(self, name)
                if value is not None and value is not False and value != ():
                    raise ExplorerError(
                        f"--live and --{name} are both given: a live page shows any image and "
                        "writes only HTML; remove one of them"
                    )
        outputs = {name: getattr(self, name) for name in ("html", "png", "npz")}
        given = {f"--{name}": path for name, path in outputs.items() if path is not None}
        for (first, path), (second, other) in combinations(given.items(), 2):
            if _same_file(path, other):
                raise ExplorerError(f"{first} and {second} are both {path}: give different files")
        for option, path in given.items():
            if self.image is not None and _same_file(path, self.image):
                raise ExplorerError(f"{option} is {path}: it would replace the picture of --image")
        for (option, path), name in product(given.items(), INPUTS):
            if any(_same_file(path, file) for run in self.runs for file in (run, run / name)):
                raise ExplorerError(f"{option} is {path}: it would replace a file of the run")

    @property
    def runs(self) -> tuple[Path, ...]:
        """Every run that is given."""
        first = () if self.run is None else (self.run,)
        return (*first, *self.compare, *(self.live or ()))


def run_paths(arguments: Arguments) -> tuple[Path, ...]:
    """The paths of the runs to show: one RUN, or those of ``--compare`` or ``--live``.

    Raises:
        ExplorerError: there are too few or too many runs.
    """
    if arguments.live is not None:
        if not 1 <= len(arguments.runs) <= MAX_COMPARED:
            raise ExplorerError(f"--live has {len(arguments.runs)} runs: expected one to three")
        return arguments.runs
    if arguments.run is not None and not arguments.compare:
        return (arguments.run,)
    if arguments.run is not None or not arguments.compare:
        raise ExplorerError("expected one RUN, or --compare with two or three")
    if not 2 <= len(arguments.compare) <= MAX_COMPARED:
        raise ExplorerError(f"--compare has {len(arguments.compare)} runs: expected two or three")
    return arguments.compare


def page_path(arguments: Arguments) -> Path:
    """The file of the HTML page: ``--html``, or a name in the folder of the first run.

    Every kind of page has a name of its own, so that none replaces another:
    ``explorer.html`` of one run, ``explorer-wrong.html``, ``explorer-PICTURE.html``,
    ``explorer-with-OTHER.html`` of compared runs, ``live.html``, ``live-with-OTHER.html``.
    """
    if arguments.html is not None:
        return arguments.html
    first, *others = run_paths(arguments)
    parts = ["explorer" if arguments.live is None else "live"]
    if not first.is_dir() and first.stem != "model":
        parts.append(first.stem)
    if others:
        parts += ["with", "-and-".join(_name_of(other) for other in others)]
    if arguments.wrong:
        parts.append("wrong")
    if arguments.image is not None:
        parts.append(arguments.image.stem)
    folder = first if first.is_dir() else first.parent
    return folder / f"{'-'.join(parts)}.html"


def _name_of(run: Path) -> str:
    """The name of a run: that of its folder, or of its file of weights."""
    path = Path(os.path.abspath(run))
    return path.stem if path.is_file() else path.name


def _same_file(first: Path, second: Path) -> bool:
    """Whether two paths lead to the same file, which may not exist yet."""
    return os.path.realpath(first) == os.path.realpath(second) and not _is_device(first)


def _is_device(path: Path) -> bool:
    """Whether the path exists and is something other than a file, such as a pipe or a terminal."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)
