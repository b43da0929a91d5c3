"""Load runs, observe them while they read one image, and write the page and the other files."""

from collections.abc import Sequence
from pathlib import Path

from command_line.errors import printable
from command_line.files import write_errors_as_config_errors
from command_line.trust import is_own_code
from gate_explorer.arguments import Arguments, run_paths
from gate_explorer.errors import ExplorerError
from gate_explorer.inputs.load_run import LoadedRun, load_run, read_run
from gate_explorer.inputs.select_image import select_image
from gate_explorer.observation.observe import Observation, observe
from gate_explorer.render.html import write_page
from gate_explorer.render.npz import write_npz
from gate_explorer.render.png import write_png


def show(arguments: Arguments) -> None:
    """Load the runs, select the image, observe the models, write the files.

    Raises:
        ConfigError, DataError, ImplementationError: a run, an image or a file cannot be used.
    """
    paths = run_paths(arguments)
    runs = load_runs(paths, arguments)
    require_same_images(runs)
    index = select_image(runs[0], arguments.index, arguments.label, arguments.wrong)
    observations = [observe_run(run, index) for run in runs]
    title = f"test image {index} of {runs[0].images.name}"
    folder = paths[0] if paths[0].is_dir() else paths[0].parent
    page = arguments.html or folder / "explorer.html"
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
    configs = {path: read_run(path)[1] for path in paths}
    own = [
        path for path, config in configs.items() if config and is_own_code(config.implementation)
    ]
    if given and (not own or len(given) not in (1, len(own))):
        raise ExplorerError(
            f"--implementation is given {len(given)} times: {len(own)} of the runs were trained "
            "with Python code of their own; give one for all of them, or one for each in order"
        )
    code = dict(zip(own, given * len(own) if len(given) == 1 else given, strict=False))
    return [load_run(path, arguments.data_dir, code.get(path)) for path in paths]


def _has_own_code(path: Path) -> bool:
    _, config = read_run(path)
    return config is not None and is_own_code(config.implementation)


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
