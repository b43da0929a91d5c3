"""sequenced_mnist/batches.py: every image once an epoch, in an order set by seed and epoch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sequenced_mnist import Batches, to_sequences
from sequenced_mnist.batches import epoch_order

SEEDS = st.integers(0, 2**64 - 1)
EPOCHS = st.integers(0, 2**32 - 1)


def numbered(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images that can be told apart by their one bright pixel, labelled with their number."""
    images = torch.zeros(count, 3, 4, dtype=torch.uint8)
    images.flatten(1)[torch.arange(count), torch.arange(count) % 12] = 255
    return images, torch.arange(count)


@given(count=st.integers(1, 200), seed=SEEDS, epoch=EPOCHS)
def test_an_order_has_every_index_once(count: int, seed: int, epoch: int) -> None:
    assert sorted(epoch_order(count, seed, epoch).tolist()) == list(range(count))


@given(seed=SEEDS, epoch=EPOCHS)
def test_an_order_depends_on_seed_and_epoch_alone(seed: int, epoch: int) -> None:
    order = epoch_order(50, seed, epoch)
    torch.manual_seed(seed ^ 1)
    before = torch.get_rng_state()
    assert torch.equal(epoch_order(50, seed, epoch), order)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_two_of_many_seeds_and_epochs_share_an_order() -> None:
    pairs = [(seed, epoch) for seed in range(20) for epoch in range(20)]
    assert len({tuple(epoch_order(50, *pair).tolist()) for pair in pairs}) == len(pairs)


def test_orders_are_fixed_for_good() -> None:
    """A run that is taken up again, perhaps by another version, has to see the same order."""
    assert epoch_order(10, seed=0, epoch=1).tolist() == [7, 8, 3, 0, 9, 4, 1, 2, 5, 6]


@given(
    count=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    seed=SEEDS,
    epoch=EPOCHS,
    sequence=st.sampled_from(["rows", "columns", "pixels", "permuted"]),
)
def test_a_pass_hands_out_every_image_once_with_its_label(
    count: int, batch_size: int, seed: int, epoch: int, sequence: str
) -> None:
    images, labels = numbered(count)
    batches = Batches(images, labels, sequence, batch_size)
    in_order, shuffled = list(batches), list(batches.shuffled(seed, epoch))
    assert batches.num_images == count
    for a_pass in (in_order, shuffled):
        assert len(a_pass) == len(batches)
        assert all(len(numbers) == batch_size for _, numbers in a_pass[:-1])
        for sequences, numbers in a_pass:
            assert sequences.shape == (len(numbers), batches.time, batches.features)
            assert torch.equal(sequences, to_sequences(images[numbers], sequence))
    assert torch.equal(torch.cat([numbers for _, numbers in in_order]), labels)
    assert torch.equal(
        torch.cat([numbers for _, numbers in shuffled]), epoch_order(count, seed, epoch)
    )


def test_the_set_is_kept_as_bytes_on_the_device() -> None:
    batches = Batches(*numbered(5), "rows", 2, device="meta")
    assert batches.images.dtype == torch.uint8
    assert batches.images.device.type == batches.labels.device.type == "meta"
    sequences, labels = next(batches.shuffled(0, 0))
    assert sequences.device.type == labels.device.type == "meta"


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_batch_size_does_not_change_the_order(batch_size: int) -> None:
    batches = Batches(*numbered(30), "rows", batch_size)
    order = torch.cat([numbers for _, numbers in batches.shuffled(seed=3, epoch=4)])
    assert torch.equal(order, epoch_order(30, seed=3, epoch=4))
