"""Show what a recurrent layer computes: python -m gate_explorer runs/NAME --index 7"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from command_line.files import write_errors_as_config_errors
from command_line.program import clean_exit, parse_arguments
from gate_explorer.errors import ExplorerError
from gate_explorer.inputs.load_run import LoadedRun, load_run
from gate_explorer.inputs.select_image import select_image
from gate_explorer.observation.observe import Observation, observe
from gate_explorer.render.html import write_page
from gate_explorer.render.npz import write_npz
from gate_explorer.render.png import write_png

MAX_COMPARED = 3
"""Runs that fit side by side on the page."""


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
    html: Annotated[Path | None, _option("FILE", "explorer.html in the run's folder")] = None
    """Write the HTML page to this file."""
    png: Annotated[Path | None, _option("FILE", "none")] = None
    """Also write a picture of the last layer to this file, as PNG."""
    npz: Annotated[Path | None, _option("FILE", "none")] = None
    """Also write all observed values to this file, as NumPy arrays (.npz)."""
    data_dir: Annotated[Path | None, _option("FOLDER", "as the run was trained")] = None
    """The folder that contains MNIST/raw."""


def main(arguments: Arguments) -> None:
    """Load the runs, select the image, observe the models, write the files.

    Raises:
        ConfigError, DataError, ImplementationError: a run, an image or a file cannot be used.
    """
    paths = run_paths(arguments)
    runs = [load_run(path, arguments.data_dir) for path in paths]
    require_same_images(runs)
    index = select_image(runs[0], arguments.index, arguments.label, arguments.wrong)
    observations = [observe_run(run, index) for run in runs]
    title = f"test image {index} of {runs[0].images.name}"
    folder = paths[0] if paths[0].is_dir() else paths[0].parent
    page = arguments.html or folder / "explorer.html"
    with write_errors_as_config_errors("--html", page):
        write_page(page, observations, title)
    print(f"{title} -> {page}")
    if arguments.png:
        with write_errors_as_config_errors("--png", arguments.png):
            write_png(arguments.png, observations, title)
        print(f"picture -> {arguments.png}")
    if arguments.npz:
        with write_errors_as_config_errors("--npz", arguments.npz):
            write_npz(arguments.npz, observations)
        print(f"arrays -> {arguments.npz}")


def run_paths(arguments: Arguments) -> tuple[Path, ...]:
    """The paths of the runs to show: one RUN, or those of ``--compare``.

    Raises:
        ExplorerError: there are too few or too many runs.
    """
    if arguments.run is not None and not arguments.compare:
        return (arguments.run,)
    if arguments.run is not None or not arguments.compare:
        raise ExplorerError("expected one RUN, or --compare with two or three")
    if not 2 <= len(arguments.compare) <= MAX_COMPARED:
        raise ExplorerError(f"--compare has {len(arguments.compare)} runs: expected two or three")
    return arguments.compare


def require_same_images(runs: list[LoadedRun]) -> None:
    """Raise unless all runs read the same images in the same way.

    Raises:
        ExplorerError: the data set or the sequence differs.
    """
    first, *others = [f"{run.images.name} by {run.sequence}" for run in runs]
    for other in others:
        if other != first:
            raise ExplorerError(f"--compare: one run reads {first}, another {other}")


def observe_run(run: LoadedRun, index: int) -> Observation:
    """Observe the run's model while it reads one test image."""
    return observe(
        run.model,
        run.images.test_images[index],
        sequence=run.sequence,
        label=int(run.images.test_labels[index]),
        class_names=run.class_names,
        name=run.name,
    )


if __name__ == "__main__":
    with clean_exit("gate_explorer"):
        main(parse_arguments(Arguments, "python -m gate_explorer"))
