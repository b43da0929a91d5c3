"""sequenced_mnist/images.py: the loaded images, their source, and the messages."""

from pathlib import Path

import pytest
import torch
from torchvision import datasets

from sequenced_mnist import DATASETS, DataError, load_images
from sequenced_mnist.images import FILES, IDX_DATASETS
from tests.helpers.mnist_files import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    idx,
    random_images,
    write_mnist,
)

NOWHERE = "http://127.0.0.1:9/"  # the discard port, which refuses connections at once


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (datasets.MNIST, datasets.FashionMNIST, datasets.KMNIST):
        monkeypatch.setattr(kind, "mirrors", [NOWHERE])
    monkeypatch.setenv("no_proxy", "*")


@pytest.mark.parametrize(
    ("dataset", "folder", "first_class"),
    [
        ("mnist", "MNIST", "0"),
        ("fashion-mnist", "FashionMNIST", "T-shirt/top"),
        ("kmnist", "KMNIST", "o"),
    ],
)
def test_existing_files_are_read(
    tmp_path: Path, dataset: str, folder: str, first_class: str
) -> None:
    write_mnist(tmp_path, folder)
    images = load_images(dataset, tmp_path)
    expected = random_images()
    assert (images.name, images.note) == (dataset, "")
    assert images.num_classes == len(images.class_names) == 10
    assert images.class_names[0] == first_class
    assert torch.equal(images.train_images, expected[TRAIN_IMAGES])
    assert torch.equal(images.train_labels, expected[TRAIN_LABELS].long())
    assert torch.equal(images.test_images, expected[TEST_IMAGES])
    assert torch.equal(images.test_labels, expected[TEST_LABELS].long())


@pytest.mark.parametrize("dataset", IDX_DATASETS.values(), ids=IDX_DATASETS)
def test_files_and_classes_are_torchvisions(dataset) -> None:
    torchvisions = getattr(datasets, dataset.torchvision_class)
    assert [f"{name}.gz" for name in FILES] == [archive for archive, _ in torchvisions.resources]
    # torchvision's names of the MNIST classes are "7 - seven" and so on.
    assert list(dataset.class_names) == [name.split(" - ")[0] for name in torchvisions.classes]


def test_auto_loads_mnist_if_its_files_exist(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    images = load_images("auto", tmp_path)
    assert (images.name, images.note, len(images.train_labels)) == ("mnist", "", 30)


def test_auto_loads_the_digits_with_a_note_if_mnist_is_not_available(tmp_path: Path) -> None:
    images = load_images("auto", tmp_path / "new")
    assert images.name == "digits"
    assert "\n" not in images.note
    for phrase in (TRAIN_IMAGES, "missing", "Connection refused", "digits instead"):
        assert phrase in images.note
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist", "kmnist"])
def test_any_other_set_raises_if_it_is_not_available(tmp_path: Path, dataset: str) -> None:
    with pytest.raises(
        DataError, match=r"cannot be downloaded .* put the data set's four IDX files"
    ):
        load_images(dataset, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS])
@pytest.mark.parametrize("dataset", ["auto", "mnist"])
def test_a_truncated_file_raises_an_error_with_its_path(
    tmp_path: Path, dataset: str, name: str
) -> None:
    """Also for auto: training on digits instead would hide that the MNIST files are damaged."""
    path = write_mnist(tmp_path) / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError) as error:
        load_images(dataset, tmp_path)
    assert f"{path} is truncated" in str(error.value)


@pytest.mark.parametrize("name", [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS])
def test_a_missing_file_raises_an_error_with_its_path(tmp_path: Path, name: str) -> None:
    path = write_mnist(tmp_path) / name
    path.unlink()
    with pytest.raises(DataError) as error:
        load_images("mnist", tmp_path)
    assert f"{path} is missing" in str(error.value)


def test_images_of_another_size_raise(tmp_path: Path) -> None:
    path = write_mnist(tmp_path) / TEST_IMAGES
    path.write_bytes(idx(random_images()[TEST_IMAGES][:, :27]))
    with pytest.raises(DataError, match="images of 27 x 28 pixels, expected 28 x 28"):
        load_images("mnist", tmp_path)


def test_labels_of_another_split_raise(tmp_path: Path) -> None:
    raw = write_mnist(tmp_path)
    (raw / TRAIN_LABELS).write_bytes((raw / TEST_LABELS).read_bytes())
    with pytest.raises(DataError, match=f"{TRAIN_LABELS} contains 12 labels for 30 images"):
        load_images("mnist", tmp_path)


def test_the_digits_are_complete_split_evenly_and_scaled_to_bytes() -> None:
    from sklearn.datasets import load_digits

    images = load_images("digits", Path("unused"))
    assert (images.name, images.note, images.num_classes) == ("digits", "", 10)
    together = torch.cat([images.train_images, images.test_images])
    assert together.dtype == torch.uint8
    original = load_digits()
    scaled = torch.from_numpy(original.images) * 255 / 16

    def sort(rows: torch.Tensor) -> list[list[int]]:
        return sorted(rows.flatten(1).round().long().tolist())

    assert sort(together) == sort(scaled)  # every image once, in one of the two sets
    for digit in range(10):
        held_out = int((images.test_labels == digit).sum())
        assert held_out == -(-(original.target == digit).sum() // 5)
    # The split is always the same: the first image of each digit, the sixth, and so on.
    assert torch.equal(images.test_images[:10].double(), scaled[:10].round())
    assert images.test_labels[:15].tolist() == [*range(10), 5, 9, 0, 7, 8]


def test_an_unknown_set_raises() -> None:
    with pytest.raises(DataError, match=f"'cifar': expected one of {', '.join(DATASETS)}"):
        load_images("cifar", Path("unused"))
