"""The available data sets, and ``load_images``, which loads one of them."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor

from sequenced_mnist.idx import DataError, locate, read_images, read_labels

IMAGE_SIZE = 28  # height and width, in pixels, of MNIST, Fashion-MNIST and KMNIST
TEST_EVERY = 5  # of the embedded digits, every fifth of each class is a test image
VALIDATION_DIVISOR = 12  # 1/12 of the training images becomes validation images: 5,000 of MNIST
DIGIT_NAMES = tuple("0123456789")


class IDXDataset(NamedTuple):
    """A data set in MNIST's format: torchvision's class for it, and the names of its classes."""

    torchvision_class: str
    class_names: tuple[str, ...]


IDX_DATASETS = {
    "mnist": IDXDataset("MNIST", DIGIT_NAMES),
    "fashion-mnist": IDXDataset(
        "FashionMNIST",
        (
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
    ),
    "kmnist": IDXDataset("KMNIST", ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")),
}
DATASETS = ("auto", *IDX_DATASETS, "digits")
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True, eq=False)
class ImageSets:
    """Training and test images of one data set, in grey levels from 0 (background) to 255 (ink).

    Attributes:
        name: name of the loaded data set; never ``auto``.
        train_images, test_images: (n, height, width) uint8.
        train_labels, test_labels: (n,) int64, from 0 to num_classes - 1.
        class_names: name of the class of each label.
        note: one line for the user if ``auto`` could not load MNIST, else empty.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]
    note: str = ""

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def for_validation(self) -> Self:
        """Split the training images: the last twelfth replaces the test images.

        Use this to select hyperparameters, for example the learning rate, without the test images.
        """
        kept = len(self.train_images) - len(self.train_images) // VALIDATION_DIVISOR
        return dataclasses.replace(
            self,
            train_images=self.train_images[:kept],
            train_labels=self.train_labels[:kept],
            test_images=self.train_images[kept:],
            test_labels=self.train_labels[kept:],
        )


class MissingFilesError(DataError):
    """Raised when files are missing and cannot be downloaded.

    Attributes:
        problem: the message without the remedy.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}: {remedy}")
        self.problem = problem


def load_images(dataset: str, data_dir: Path, digits_instead: bool = True) -> ImageSets:
    """Load a data set, downloading missing files first.

    ``auto`` loads MNIST; if its files are missing and cannot be downloaded, it loads the embedded
    digits and explains this in ``note``. Damaged files raise an error even with ``auto``, because
    the user wanted MNIST.

    Args:
        dataset: one of ``DATASETS``.
        data_dir: the folder of ``MNIST/raw``, ``FashionMNIST/raw`` or ``KMNIST/raw`` (torchvision's
            ``root``); created if needed. Not used for ``digits``.
        digits_instead: whether ``auto`` may load the embedded digits. Use False if the user has
            given ``data_dir``, and so expects MNIST in it.

    Raises:
        DataError: ``dataset`` is unknown, a file is damaged, or files are missing and cannot be
            downloaded.
    """
    if dataset not in DATASETS:
        raise DataError(f"dataset is {dataset!r}: expected one of {', '.join(DATASETS)}")
    if dataset == "digits":
        return load_digits()
    if dataset != "auto":
        return _load_idx(dataset, data_dir)
    try:
        return _load_idx("mnist", data_dir)
    except MissingFilesError as error:
        if not digits_instead:
            raise
        return load_digits(note=f"{error.problem}: using the embedded digits instead")


def load_digits(note: str = "") -> ImageSets:
    """Load the handwritten digits that scikit-learn contains: 1,797 images of 8 x 8 pixels.

    Every fifth image of each digit, in the order of the set, is a test image. So the split is
    always the same. ``note`` is stored in the result.

    Source: Alpaydin & Kaynak (1998), "Optical Recognition of Handwritten Digits".
    """
    # Imported here because the import takes about a second and other data sets do not need it.
    from sklearn.datasets import load_digits as load

    digits = load()
    images = torch.from_numpy(digits.images)  # (1797, 8, 8) float64, integers from 0 to 16
    grey = (images * (255 / 16)).round().to(torch.uint8)
    labels = torch.from_numpy(digits.target).long()
    test = torch.zeros(len(labels), dtype=torch.bool)
    for digit in range(len(DIGIT_NAMES)):
        test[(labels == digit).nonzero()[::TEST_EVERY]] = True
    return ImageSets(
        name="digits",
        train_images=grey[~test],
        train_labels=labels[~test],
        test_images=grey[test],
        test_labels=labels[test],
        class_names=DIGIT_NAMES,
        note=note,
    )


def _load_idx(name: str, data_dir: Path) -> ImageSets:
    dataset = IDX_DATASETS[name]
    num_classes = len(dataset.class_names)
    train_images, train_labels, test_images, test_labels = _files(dataset, data_dir)
    train = read_images(train_images, IMAGE_SIZE, IMAGE_SIZE)
    test = read_images(test_images, IMAGE_SIZE, IMAGE_SIZE)
    return ImageSets(
        name=name,
        train_images=train,
        train_labels=read_labels(train_labels, len(train), num_classes),
        test_images=test,
        test_labels=read_labels(test_labels, len(test), num_classes),
        class_names=dataset.class_names,
    )


def _files(dataset: IDXDataset, data_dir: Path) -> list[Path]:
    """Return the four files of the data set in the order of FILES, after downloading missing ones.

    A file may be compressed; then its path ends in ``.gz``.
    """
    folder = data_dir / dataset.torchvision_class / "raw"
    files = [folder / name for name in FILES]
    missing = [file for file in files if not locate(file)]
    if missing:
        _download(dataset, data_dir, missing)
    return [locate(file) or file for file in files]


def _download(dataset: IDXDataset, data_dir: Path, missing: list[Path]) -> None:
    # Imported here because torchvision takes a second or two to import, and existing files do not
    # need it.
    from sequenced_mnist.download import DownloadError, download

    try:
        download(dataset.torchvision_class, data_dir, missing)
    except DownloadError as error:
        raise MissingFilesError(
            f"{missing[0]} is missing and cannot be downloaded ({error})",
            remedy=f"put the data set's four IDX files into {missing[0].parent}, or use "
            "--dataset digits",
        ) from error
