"""Drawing, test images, pictures and time on the live page, in a real browser."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.gate_explorer.live.live_page import FOUR, SEVEN, STEPS, LivePage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def area_means(size: int, target: int) -> NDArray[np.float64]:
    """The matrix (target, size) of means over areas: repeat each pixel, average whole blocks."""
    repeated = np.repeat(np.eye(target), size, axis=1)  # (target, size * target)
    return repeated.reshape(target, size, target).sum(axis=2) / size


def centred_like_mnist(ink: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ink (n, n), 0 to 1, as MNIST was made."""
    rows, columns = np.nonzero(ink > 0.1)
    box = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = 20 / max(box.shape)
    height, width = (max(1, int(np.floor(size * scale + 0.5))) for size in box.shape)
    small = area_means(box.shape[0], height) @ box @ area_means(box.shape[1], width).T
    centre = [
        (small.sum(axis=1 - axis) * np.arange(small.shape[axis])).sum() / small.sum()
        for axis in (0, 1)
    ]
    top, left = (int(np.floor(14 - each + 0.5)) for each in centre)
    image = np.zeros((28, 28))
    image[top : top + height, left : left + width] = small
    return image


def test_a_drawing_is_centred_as_mnist_and_answered(live: LivePage) -> None:
    live.press("Clear")
    live.draw(FOUR)
    assert [name for name, _ in live.answers()] == ["4"] * 3
    live.assert_answers([])
    alpha = live.tab.evaluate(
        "Array.from(document.getElementById('pad').getContext('2d')"
        ".getImageData(0, 0, 280, 280).data.filter((_, index) => index % 4 === 3))"
    )
    expected = 255 * centred_like_mnist(np.array(alpha).reshape(280, 280) / 255)
    np.testing.assert_allclose(live.pixels().reshape(28, 28), expected, atol=0.51)


def test_clear_and_undo(live: LivePage) -> None:
    before = live.pixels()
    live.press("Clear")
    live.settle()
    assert live.tab.locator("#pad-hint").is_visible()
    assert not live.pixels().any()
    live.draw(SEVEN)
    drawn = live.pixels()
    live.draw([[(20, 20), (60, 260)]])
    assert (live.pixels() != drawn).any()
    live.press("Undo")
    np.testing.assert_array_equal(live.pixels(), drawn)
    live.press("Undo")
    live.press("Undo")
    np.testing.assert_array_equal(live.pixels(), before)


def test_a_test_image_is_read_unchanged(live: LivePage) -> None:
    sample = live.tab.evaluate("explorer.data.samples[3]")
    live.press(f"test image {sample['index']}: {sample['label']}")
    live.settle()
    expected = np.frombuffer(base64.b64decode(sample["pixels"]), np.uint8)
    np.testing.assert_array_equal(live.pixels(), expected)
    assert {name for name, _ in live.answers()} == {"3"}


def png(grey: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(file, format="png")
    return file.getvalue()


def test_pictures_are_loaded(live: LivePage) -> None:
    seven = live.pixels().reshape(28, 28)
    load = live.tab.locator("#picture-file").set_input_files
    # A photo of dark ink on grey paper, not centred
    photo = np.full((300, 240), 190.0)
    photo[40:236, 20:216] -= 0.6 * np.kron(seven, np.ones((7, 7)))
    live.press("Clear")
    load({"name": "photo.png", "mimeType": "image/png", "buffer": png(photo)})
    live.settle()
    assert {name for name, _ in live.answers()} == {"7"}
    # An image of the model's size is not changed
    load({"name": "seven.png", "mimeType": "image/png", "buffer": png(seven)})
    live.settle()
    np.testing.assert_array_equal(live.pixels(), seven.ravel())
    load({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"not a picture"})
    live.tab.wait_for_selector("#picture-error:not(:empty)")
    assert live.tab.inner_text("#picture-error").startswith("notes.txt is not a picture")
    np.testing.assert_array_equal(live.pixels(), seven.ravel())


def test_slider_steps_play_and_clicks_select_the_row(live: LivePage) -> None:
    live.tab.fill("#step", "9")
    assert live.tab.inner_text("#step-name") == "row 10 of 28"
    live.assert_answers([], step=9)
    live.settle()
    assert live.tab.inner_text("#announcement").startswith("After row 10: RNN: ")
    live.tab.get_by_label("One step forward").click()
    live.assert_answers([], step=10)
    live.tab.get_by_label("One step back").click()
    live.tab.get_by_label("One step back").click()
    live.assert_answers([], step=8)
    plot = live.plot(1, "update")
    box = plot.bounding_box()
    plot.click(position={"x": 20, "y": box["height"] * 17.5 / STEPS})
    assert live.tab.inner_text("#step-name") == "row 18 of 28"
    live.assert_answers([], step=17)
    live.tab.fill("#step", str(STEPS - 1))
    live.tab.click("#play")  # starts again from the first row
    live.tab.wait_for_function("document.getElementById('step').value > 2")
    assert live.tab.inner_text("#play") == "❚❚ Pause"
    live.tab.click("#play")
    step = int(live.tab.input_value("#step"))
    assert step < STEPS - 1
    live.assert_answers([], step=step)


def test_the_current_row_is_marked_in_every_panel(live: LivePage) -> None:
    live.tab.fill("#step", "13")
    middles = live.tab.eval_on_selector_all(
        ".plot",
        """plots => plots.map(plot => {
            const box = plot.getBoundingClientRect();
            const mark = plot.querySelector('.marker').getBoundingClientRect();
            return ((mark.top + mark.bottom) / 2 - box.top) / box.height;
        })""",
    )
    assert len(middles) == 3 + 6 + 8
    np.testing.assert_allclose(middles, 13.5 / STEPS, atol=0.01)
