"""Which test image to show."""

import torch

from gate_explorer.errors import ExplorerError
from gate_explorer.inputs.load_run import Run
from sequenced_mnist import Batches

BATCH = 200


def choose_image(run: Run, index: int | None, label: int | None, wrong: bool) -> int:
    """The number of the test image that was asked for; the first if nothing was.

    Args:
        index: its number itself.
        label: the first image of this class.
        wrong: the first image that the run's model names wrongly.

    Raises:
        ExplorerError: there is no such image, or more than one way to choose was given.
    """
    if sum((index is not None, label is not None, wrong)) > 1:
        raise ExplorerError("--index, --label and --wrong each choose an image: give one of them")
    count = len(run.images.test_labels)
    if label is not None:
        return _first_of(run, label)
    if wrong:
        return _first_wrong(run)
    index = index or 0
    if not 0 <= index < count:
        raise ExplorerError(
            f"--index is {index}: {run.images.name} has test images 0 to {count - 1}"
        )
    return index


def _first_of(run: Run, label: int) -> int:
    found = (run.images.test_labels == label).nonzero()
    if not len(found):
        raise ExplorerError(
            f"--label is {label}: {run.images.name} has labels 0 to {run.images.num_classes - 1}"
        )
    return int(found[0])


def _first_wrong(run: Run) -> int:
    images = run.images
    seen = 0
    model = run.model.eval()
    for sequences, labels, *_ in Batches(
        images.test_images, images.test_labels, run.sequence, BATCH
    ):
        with torch.no_grad():
            wrong = (model(sequences).argmax(dim=1) != labels).nonzero()
        if len(wrong):
            return seen + int(wrong[0])
        seen += len(labels)
    raise ExplorerError(f"--wrong: {run.name} names all {seen} test images rightly")
