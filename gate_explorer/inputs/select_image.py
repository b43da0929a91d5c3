"""Select the image to show: a test image, or a picture of the user's."""

from dataclasses import dataclass

from torch import Tensor

from command_line.errors import printable
from gate_explorer.arguments import Arguments
from gate_explorer.errors import ExplorerError
from gate_explorer.inputs.load_run import LoadedRun
from gate_explorer.inputs.picture import read_picture
from sequenced_mnist import Batches
from training_loop.predict import predict
from training_loop.runtime.accelerator import start_accelerator

IMAGES_AT_ONCE = 200
"""Images classified at once. The search stops after the batch with the first mistake."""


@dataclass(frozen=True, eq=False)
class SelectedImage:
    """The image to show.

    Attributes:
        image: (height, width) uint8.
        label: its correct class, if it is known.
        title: identifies the image on the page.
    """

    image: Tensor
    label: int | None
    title: str


def select_image(run: LoadedRun, arguments: Arguments) -> SelectedImage:
    """The image that the options select; the first test image if there are none.

    Args:
        run: the run whose data set and model are used.
        arguments: ``index``: a test image. ``label``: the first image of this class. ``wrong``: the
            first image that the run's model misclassifies. ``image``: a picture file.

    Raises:
        ExplorerError: there is no such image, or more than one of the options is given.
    """
    index, label, file = arguments.index, arguments.label, arguments.image
    if sum((index is not None, label is not None, arguments.wrong, file is not None)) > 1:
        raise ExplorerError(
            "--index, --label, --wrong and --image all select an image: give only one"
        )
    if file is not None:
        height, width = run.images.test_images.shape[1:]
        return SelectedImage(read_picture(file, height, width), None, printable(file.name))
    number = select_index(run, index, label, arguments.wrong)
    return SelectedImage(
        run.images.test_images[number],
        int(run.images.test_labels[number]),
        f"test image {number} of {run.images.name}",
    )


def select_index(run: LoadedRun, index: int | None, label: int | None, wrong: bool) -> int:
    """The index of the selected test image."""
    num_images = len(run.images.test_labels)
    if label is not None:
        return _first_of_class(run, label)
    if wrong:
        return _first_misclassified(run)
    index = index or 0
    if not 0 <= index < num_images:
        raise ExplorerError(
            f"--index is {index}: {run.images.name} has test images 0 to {num_images - 1}"
        )
    return index


def _first_of_class(run: LoadedRun, label: int) -> int:
    labels = run.images.test_labels.tolist()  # Python compares integers of any size
    if label not in labels:
        raise ExplorerError(
            f"--label is {label}: {run.images.name} has labels 0 to {run.images.num_classes - 1}"
        )
    return labels.index(label)


def _first_misclassified(run: LoadedRun) -> int:
    images = run.images
    accelerator = start_accelerator("cpu")
    for start in range(0, len(images.test_labels), IMAGES_AT_ONCE):
        part = slice(start, start + IMAGES_AT_ONCE)
        labels = images.test_labels[part]
        batches = Batches(images.test_images[part], labels, run.sequence, IMAGES_AT_ONCE)
        scores = predict(accelerator, run.model, batches, batches.num_sequences)
        mistakes = (scores.argmax(dim=1) != labels).nonzero()
        if len(mistakes):
            return start + int(mistakes[0])
    raise ExplorerError(
        f"--wrong: {run.name} classifies all {len(images.test_labels)} test images correctly: "
        "use --index or --label"
    )
