"""sequenced_mnist/sequencing.py, compared pixel by pixel with the definition of each sequence."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sequenced_mnist import SEQUENCES, sequence_shape, to_sequences
from sequenced_mnist.sequencing import pixel_order


@st.composite
def image_batches(draw: st.DrawFn) -> Tensor:
    """Images (batch, height, width) uint8, including empty batches and images of one pixel."""
    shape = draw(st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 9)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    return torch.randint(256, shape, generator=generator).to(torch.uint8)


def pixel_at(sequence: str, step: int, feature: int, height: int, width: int) -> tuple[int, int]:
    """Row and column of the pixel that becomes this feature of this time step."""
    if sequence == "rows":
        return step, feature
    if sequence == "columns":
        return feature, step
    if sequence == "permuted":
        step = int(pixel_order(height * width)[step])
    return divmod(step, width)


@pytest.mark.parametrize("sequence", SEQUENCES)
@given(images=image_batches())
def test_every_time_step_has_the_expected_pixels(sequence: str, images: Tensor) -> None:
    batch, height, width = images.shape
    sequences = to_sequences(images, sequence)
    assert sequences.dtype == torch.float32
    assert sequences.is_contiguous()
    assert sequences.shape == (batch, *sequence_shape(height, width, sequence))
    for (image, step, feature), value in zip(
        torch.cartesian_prod(*map(torch.arange, sequences.shape)).tolist(),
        sequences.flatten().tolist(),
        strict=True,
    ):
        row, column = pixel_at(sequence, step, feature, height, width)
        assert value == pytest.approx(int(images[image, row, column]) / 127.5, abs=1e-6)


@pytest.mark.parametrize(
    ("sequence", "shape"),
    [("rows", (28, 20)), ("columns", (20, 28)), ("pixels", (560, 1)), ("permuted", (560, 1))],
)
def test_sequence_shape_is_time_and_features(sequence: str, shape: tuple[int, int]) -> None:
    assert sequence_shape(28, 20, sequence) == shape


def test_values_are_twice_those_of_to_tensor_and_the_images_do_not_change() -> None:
    from torchvision.transforms.functional import to_tensor

    image = torch.arange(256).view(16, 16).to(torch.uint8)
    before = image.clone()
    expected = 2 * to_tensor(image.numpy())
    torch.testing.assert_close(to_sequences(image[None], "rows"), expected, rtol=0, atol=1e-6)
    assert torch.equal(image, before)


def test_the_permutation_is_the_same_in_every_version() -> None:
    """Otherwise results on permuted pixels could not be compared."""
    order = pixel_order(784)
    assert order[:8].tolist() == [369, 780, 119, 661, 672, 16, 13, 482]
    assert sorted(order.tolist()) == list(range(784))


def test_the_permutation_does_not_use_the_global_generator() -> None:
    before = torch.get_rng_state()
    pixel_order.__wrapped__(784)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("function", [to_sequences, lambda _, name: sequence_shape(8, 8, name)])
def test_an_unknown_sequence_raises(function) -> None:
    with pytest.raises(ValueError, match=r"'diagonals': expected one of rows, columns, pixels"):
        function(torch.zeros(1, 8, 8, dtype=torch.uint8), "diagonals")
