"""sequenced_mnist/batches.py: each image once per epoch, in an order set by seed and epoch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sequenced_mnist import Batches, to_sequences
from sequenced_mnist.batches import epoch_order

SEEDS = st.integers(0, 2**64 - 1)
EPOCHS = st.integers(0, 2**32 - 1)


def numbered_images(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images with one bright pixel, in different places, each labelled with its index."""
    images = torch.zeros(count, 3, 4, dtype=torch.uint8)
    images.flatten(1)[torch.arange(count), torch.arange(count) % 12] = 255
    return images, torch.arange(count)


@given(count=st.integers(1, 200), seed=SEEDS, epoch=EPOCHS)
def test_an_order_contains_every_index_once(count: int, seed: int, epoch: int) -> None:
    assert sorted(epoch_order(count, seed, epoch).tolist()) == list(range(count))


@given(seed=SEEDS, epoch=EPOCHS)
def test_an_order_depends_only_on_seed_and_epoch(seed: int, epoch: int) -> None:
    order = epoch_order(50, seed, epoch)
    torch.manual_seed(seed ^ 1)
    before = torch.get_rng_state()
    assert torch.equal(epoch_order(50, seed, epoch), order)
    assert torch.equal(torch.get_rng_state(), before)


def test_different_seeds_and_epochs_give_different_orders() -> None:
    pairs = [(seed, epoch) for seed in range(20) for epoch in range(20)]
    assert len({tuple(epoch_order(50, *pair).tolist()) for pair in pairs}) == len(pairs)


def test_an_order_is_the_same_in_every_version() -> None:
    """A run may be resumed by a later version, which must use the same order."""
    assert epoch_order(10, seed=0, epoch=1).tolist() == [7, 8, 3, 0, 9, 4, 1, 2, 5, 6]


@given(
    count=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    seed=SEEDS,
    epoch=EPOCHS,
    sequence=st.sampled_from(["rows", "columns", "pixels", "permuted"]),
)
def test_a_pass_yields_every_image_once_with_its_label(
    count: int, batch_size: int, seed: int, epoch: int, sequence: str
) -> None:
    images, labels = numbered_images(count)
    batches = Batches(images, labels, sequence, batch_size)
    in_order, shuffled = list(batches), list(batches.shuffled(seed, epoch))
    assert batches.num_sequences == count
    for a_pass in (in_order, shuffled):
        assert len(a_pass) == len(batches)
        assert all(batch.size == batch_size for batch in a_pass[:-1])
        for sequences, batch_labels, indices, size in a_pass:
            assert size == len(batch_labels)
            assert torch.equal(indices, batch_labels)
            assert sequences.shape == (len(indices), batches.time, batches.features)
            assert torch.equal(sequences, to_sequences(images[indices], sequence))
    assert torch.equal(torch.cat([batch.labels for batch in in_order]), labels)
    assert torch.equal(
        torch.cat([batch.labels for batch in shuffled]), epoch_order(count, seed, epoch)
    )


def test_the_images_are_bytes_on_the_given_device() -> None:
    batches = Batches(*numbered_images(5), "rows", 2, device="meta")
    assert batches.images.dtype == torch.uint8
    assert batches.images.device.type == batches.labels.device.type == "meta"
    sequences, labels, *_ = next(batches.shuffled(0, 0))
    assert sequences.device.type == labels.device.type == "meta"


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_batch_size_does_not_change_the_order(batch_size: int) -> None:
    batches = Batches(*numbered_images(30), "rows", batch_size)
    order = torch.cat([batch.labels for batch in batches.shuffled(seed=3, epoch=4)])
    assert torch.equal(order, epoch_order(30, seed=3, epoch=4))


@given(
    count=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    num_processes=st.integers(1, 4),
    seed=SEEDS,
)
def test_processes_split_the_batches_of_a_single_process(
    count: int, batch_size: int, num_processes: int, seed: int
) -> None:
    """Together they read the batches of one process, and no image twice."""
    alone = Batches(*numbered_images(count), "rows", batch_size)
    shares = [
        Batches(
            *numbered_images(count),
            "rows",
            batch_size,
            process=process,
            num_processes=num_processes,
        )
        for process in range(num_processes)
    ]
    passes = zip(*(share.shuffled(seed, 1) for share in shares), strict=True)
    for whole, parts in zip(alone.shuffled(seed, 1), passes, strict=True):
        assert all(part.size == whole.size for part in parts)
        together = torch.cat([part.indices for part in parts])
        assert sorted(together.tolist()) == sorted(whole.indices.tolist())
        lengths = [len(part.labels) for part in parts]
        assert max(lengths) - min(lengths) <= 1


@given(start=st.integers(0, 12), seed=SEEDS)
def test_a_pass_can_start_at_any_batch(start: int, seed: int) -> None:
    batches = Batches(*numbered_images(30), "rows", 3)
    whole = [batch.indices.tolist() for batch in batches.shuffled(seed, 2)]
    assert [batch.indices.tolist() for batch in batches.shuffled(seed, 2, start)] == whole[start:]
