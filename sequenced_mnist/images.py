"""Which images there are to train on, and the one way to them: :func:`load_images`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor

from sequenced_mnist.idx import DataError, locate, read_images, read_labels

SIDE = 28  # pixels: MNIST and its siblings are 28 x 28
HELD_OUT = 5  # of the embedded digits, one in five is held out for testing
VALIDATION = 12  # of the training images, one in twelve is held out for choosing: 5,000 of MNIST's
DIGITS = tuple("0123456789")


class Kind(NamedTuple):
    """A data set of MNIST's format: torchvision's class of it, and what its labels stand for."""

    torchvision_class: str
    class_names: tuple[str, ...]


KINDS = {
    "mnist": Kind("MNIST", DIGITS),
    "fashion-mnist": Kind(
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
    "kmnist": Kind("KMNIST", ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")),
}
DATASETS = ("auto", *KINDS, "digits")
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
        name: the data set actually loaded: never ``auto``.
        train_images, test_images: (n, height, width) uint8.
        train_labels, test_labels: (n,) int64, from 0 to num_classes - 1.
        class_names: what each label stands for.
        note: one line for the user where another set was loaded than MNIST, else empty.
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
        """How many classes the labels tell apart."""
        return len(self.class_names)

    def for_validation(self) -> Self:
        """The training images alone: the last twelfth of them takes the test images' place.

        What is chosen by looking at the outcome, a learning rate say, is chosen on these, so that
        the test images stay unseen.
        """
        kept = len(self.train_images) - len(self.train_images) // VALIDATION
        return dataclasses.replace(
            self,
            train_images=self.train_images[:kept],
            train_labels=self.train_labels[:kept],
            test_images=self.train_images[kept:],
            test_labels=self.train_labels[kept:],
        )


class MissingError(DataError):
    """Files are missing and cannot be downloaded; ``what`` says so without a remedy."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}: {remedy}")
        self.what = what


def load_images(dataset: str, data_dir: Path) -> ImageSets:
    """Load a data set, fetching it first if need be.

    ``auto`` is MNIST from ``data_dir``, or downloaded there; where neither can be had, the
    embedded digits, with a note that says why. Files that are there but damaged are an error for
    ``auto`` too: who put them there wants MNIST.

    Args:
        dataset: one of :data:`DATASETS`.
        data_dir: the folder that holds, or shall hold, ``MNIST/raw`` (``FashionMNIST/raw``,
            ``KMNIST/raw``): what torchvision calls ``root``. Not used for ``digits``.

    Raises:
        DataError: a file is damaged; files are missing and cannot be downloaded; or there is no
            such data set.
    """
    if dataset not in DATASETS:
        raise DataError(f"dataset is {dataset!r}: expected one of {', '.join(DATASETS)}")
    if dataset == "digits":
        return load_digits()
    if dataset != "auto":
        return _load_kind(dataset, data_dir)
    try:
        return _load_kind("mnist", data_dir)
    except MissingError as error:
        return load_digits(note=f"{error.what}: taking the embedded digits instead")


def load_digits(note: str = "") -> ImageSets:
    """The handwritten digits that come with scikit-learn: 1,797 images of 8 x 8.

    Alpaydin & Kaynak (1998), "Optical Recognition of Handwritten Digits". Every fifth image of
    each digit is held out for testing, in the order of the set: the same split everywhere.
    """
    # Imported here because it takes a second, which no other data set should have to wait.
    from sklearn.datasets import load_digits as load  # type: ignore[import-untyped]

    digits = load()
    images = torch.from_numpy(digits.images)  # (1797, 8, 8) float64, whole numbers from 0 to 16
    grey = (images * (255 / 16)).round().to(torch.uint8)
    labels = torch.from_numpy(digits.target).long()
    test = torch.zeros(len(labels), dtype=torch.bool)
    for digit in range(len(DIGITS)):
        test[(labels == digit).nonzero()[::HELD_OUT]] = True
    return ImageSets(
        name="digits",
        train_images=grey[~test],
        train_labels=labels[~test],
        test_images=grey[test],
        test_labels=labels[test],
        class_names=DIGITS,
        note=note,
    )


def _load_kind(dataset: str, data_dir: Path) -> ImageSets:
    kind = KINDS[dataset]
    num_classes = len(kind.class_names)
    train_images, train_labels, test_images, test_labels = _files(kind, data_dir)
    train = read_images(train_images, SIDE, SIDE)
    test = read_images(test_images, SIDE, SIDE)
    return ImageSets(
        name=dataset,
        train_images=train,
        train_labels=read_labels(train_labels, len(train), num_classes),
        test_images=test,
        test_labels=read_labels(test_labels, len(test), num_classes),
        class_names=kind.class_names,
    )


def _files(kind: Kind, data_dir: Path) -> list[Path]:
    """The set's four files in the order of FILES, downloaded where they are missing."""
    folder = data_dir / kind.torchvision_class / "raw"
    files = [folder / name for name in FILES]
    missing = [file for file in files if not locate(file)]
    if missing:
        _download(kind, data_dir, missing)
    return [locate(file) or file for file in files]


def _download(kind: Kind, data_dir: Path, missing: list[Path]) -> None:
    # Imported here because torchvision takes a second or two, which is saved once the files lie
    # there.
    from sequenced_mnist.download import DownloadError, download

    try:
        download(kind.torchvision_class, data_dir, missing)
    except DownloadError as error:
        raise MissingError(
            f"{missing[0]} is missing and cannot be downloaded ({error})",
            remedy=f"put the set's four IDX files into {missing[0].parent}, or take the digits",
        ) from error
