"""Classify images, which are read as sequences."""

from rich.table import Table
from torch import Tensor

from sequenced_mnist import Batches, ImageSets, load_images
from training_loop.config import DATA_DIR, Config
from training_loop.reports import plots
from training_loop.tasks.objective import classification
from training_loop.tasks.task import Draw, Placement, Task


class ImageTask(Task):
    """Classify the images of a data set, read by rows, columns or pixels.

    Args:
        config: options of the run.
        images: the data set.
        placement: device of the images, and this process.
    """

    def __init__(self, config: Config, images: ImageSets, placement: Placement) -> None:
        if config.validation:
            images = images.for_validation()
        self.images, self.note = images, images.note
        self.config = config.resolved(images.name, str(placement.device).partition(":")[0])
        # Both sets are on the training device as uint8. Sequences are computed by batch.
        sequence, size = self.config.sequence, self.config.batch_size
        self.train_set = Batches(
            images.train_images, images.train_labels, sequence, size, *placement
        )
        # A test saves nothing for backward, so a batch four times as large fits, and is faster.
        self.test_set = Batches(
            images.test_images, images.test_labels, sequence, 4 * size, *placement
        )
        self.outputs = images.num_classes
        self.objective = classification(images.num_classes)

    @classmethod
    def load(cls, config: Config, placement: Placement) -> "ImageTask":
        """Load the data set that ``config`` names.

        Raises:
            DataError: a file cannot be used.
        """
        images = load_images(
            config.dataset, config.data_dir or DATA_DIR, digits_instead=config.data_dir is None
        )
        return cls(config, images, placement)

    @property
    def description(self) -> str:
        """Data set, number of images, and how they are read."""
        train_set, test_set = self.train_set, self.test_set
        return (
            f"{self.images.name}: {train_set.num_sequences} training and "
            f"{test_set.num_sequences} {self.config.split} images, by {self.config.sequence}: "
            f"{train_set.time} steps of {train_set.features}"
        )

    def plots(self, outputs: Tensor) -> dict[str, Draw]:
        """The confusion matrix, and the mistakes with the highest confidence."""
        images, names = self.images.test_images, self.images.class_names
        answers = (outputs, self.images.test_labels, names)
        return {
            "confusion.png": lambda file: plots.draw_confusion(file, *answers),
            "mistakes.png": lambda file: plots.draw_mistakes(file, images, *answers),
        }

    def table(self, outputs: Tensor) -> Table:
        """Accuracy by class."""
        return class_table(outputs, self.images.test_labels, self.images.class_names)


def class_table(logits: Tensor, labels: Tensor, class_names: tuple[str, ...]) -> Table:
    """Accuracy per class, from (n, classes) logits and (n,) labels."""
    counts = plots.confusion(logits, labels)  # (true, predicted)
    table = Table("class", "images", "correct", "most frequent mistake")
    for true, row in enumerate(counts):
        total, correct = int(row.sum()), int(row[true])
        wrong = row.clone()
        wrong[true] = 0
        number, predicted = wrong.max(dim=0)
        mistake = f"{class_names[int(predicted)]} ({int(number)})" if number else ""
        share = f"{correct} ({100 * correct / total:.1f} %)" if total else ""
        table.add_row(class_names[true], str(total), share, mistake)
    return table
