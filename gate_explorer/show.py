"""Load runs, observe them while they read one image, and write the page and the other files."""

from collections.abc import Sequence
from pathlib import Path

from command_line.errors import printable
from command_line.files import write_errors_as_config_errors
from command_line.trust import is_own_code
from gate_explorer.arguments import Arguments, page_path, run_paths
from gate_explorer.errors import ExplorerError
from gate_explorer.inputs.load_run import LoadedRun, load_run, read_run
from gate_explorer.inputs.select_image import SelectedImage, select_image
from gate_explorer.live.write import write_live_page
from gate_explorer.observation.observe import Observation, observe
from gate_explorer.render.html import write_page
from gate_explorer.render.npz import write_npz
from gate_explorer.render.png import write_png
from training_loop.runs.saved_config import config_warning


def show(arguments: Arguments) -> None:
    """Load the runs, select the image, observe the models, write the files.

    Raises:
        ConfigError, DataError, ImplementationError: a run, an image or a file cannot be used.
    """
    runs = load_runs(run_paths(arguments), arguments)
    page = page_path(arguments)
    if arguments.live is not None:
        require_same_images(runs, "--live")
        with write_errors_as_config_errors("--html", page):
            write_live_page(page, runs)
        print(f"live page -> {printable(page)}")
        return
    require_same_images(runs, "--compare")
    selected = select_image(runs[0], arguments)
    observations = [observe_run(run, selected) for run in runs]
    title = selected.title
    with write_errors_as_config_errors("--html", page):
        write_page(page, observations, title)
    print(f"{title} -> {printable(page)}")
    if arguments.png:
        with write_errors_as_config_errors("--png", arguments.png):
            write_png(arguments.png, observations, title)
        print(f"picture -> {printable(arguments.png)}")
    if arguments.npz:
        with write_errors_as_config_errors("--npz", arguments.npz):
            write_npz(arguments.npz, observations)
        print(f"arrays -> {printable(arguments.npz)}")


def load_runs(paths: Sequence[Path], arguments: Arguments) -> list[LoadedRun]:
    """Load the runs, with the Python code that ``--implementation`` permits.

    Raises:
        ExplorerError: there are more or fewer implementations than runs with code of their own.
        ConfigError, DataError, ImplementationError: a run cannot be loaded.
    """
    given = arguments.implementation
    configs = {path: read_run(path).config for path in paths}
    own = [
        path for path, config in configs.items() if config and is_own_code(config.implementation)
    ]
    if given and (not own or len(given) not in (1, len(own))):
        raise ExplorerError(
            f"--implementation is given {len(given)} times: {len(own)} of the runs were trained "
            "with Python code of their own; give one for all of them, or one for each in order"
        )
    for folder in filter(Path.is_dir, paths):
        if warning := config_warning(folder):
            print(printable(warning))
    code = dict(zip(own, given * len(own) if len(given) == 1 else given, strict=False))
    return [load_run(path, arguments.data_dir, code.get(path)) for path in paths]


def require_same_images(runs: list[LoadedRun], option: str) -> None:
    """Raise unless all runs read the same images in the same way.

    Args:
        runs: one or more.
        option: that gives the runs, for the message.

    Raises:
        ExplorerError: the data set or the sequence differs.
    """
    first, *others = [f"{run.images.name} by {run.sequence}" for run in runs]
    for other in others:
        if other != first:
            raise ExplorerError(f"{option}: one run reads {first}, another {other}")


def observe_run(run: LoadedRun, selected: SelectedImage) -> Observation:
    """Observe the run's model while it reads one image."""
    return observe(
        run.model,
        selected.image,
        sequence=run.sequence,
        label=selected.label,
        class_names=run.class_names,
        name=run.name,
    )
