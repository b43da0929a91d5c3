"""Write the live page of trained runs."""

from collections.abc import Sequence
from pathlib import Path

from command_line.errors import printable
from command_line.files import atomic_write
from gate_explorer.errors import ExplorerError
from gate_explorer.inputs.load_run import LoadedRun
from gate_explorer.live.page import render_live_page, sample_images, unsupported
from gate_explorer.live.spec import Spec, spec_of


def write_live_page(path: Path, runs: Sequence[LoadedRun]) -> None:
    """Write the page on which ``runs`` are run; they read the same images in the same way.

    A model that the engine cannot run is replaced by the reason, which is also printed.

    Raises:
        ExplorerError: the engine can run none of the models.
        OSError: the file cannot be written.
    """
    first = runs[0]
    names = [run.name for run in runs]
    specs = [_spec(run, unique_name=names.count(run.name) == 1) for run in runs]
    if all("unsupported" in spec for spec in specs):
        raise ExplorerError("; ".join(dict.fromkeys(spec["unsupported"] for spec in specs)))
    for spec in specs:
        if "unsupported" in spec:
            print(printable(spec["unsupported"]))
    content = render_live_page(
        specs,
        sample_images(first.images),
        title=_title(specs),
        dataset=first.images.name,
        sequence=first.sequence,
        class_names=first.class_names,
    )
    with atomic_write(path) as file:
        file.write(content.encode())


def _spec(run: LoadedRun, unique_name: bool) -> Spec:
    name = run.name if unique_name else f"{run.name} ({run.folder})"
    height, width = run.images.test_images.shape[1:]
    try:
        return spec_of(
            run.model,
            name=name,
            sequence=run.sequence,
            image_size=(height, width),
            class_names=run.class_names,
            accuracy=run.accuracy,
        )
    except ExplorerError as error:
        return unsupported(name, str(error))


def _title(specs: Sequence[Spec]) -> str:
    """\"RNN, GRU and LSTM read your digit\"."""
    cells = [spec["cell"].upper() for spec in specs if "cell" in spec]
    *most, last = dict.fromkeys(cells)
    return f"{', '.join(most)} and {last} read your digit" if most else f"{last} reads your digit"
