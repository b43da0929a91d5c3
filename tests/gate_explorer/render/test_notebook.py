"""The notebook figure: its slider and its menu."""

import builtin_models
from gate_explorer import explore
from tests.gate_explorer.small_models import IMAGE, classifier


def test_explore_returns_a_figure_with_slider_and_menu() -> None:
    model = classifier(builtin_models, "LSTM", num_layers=2)
    figure = explore(model, IMAGE)
    steps = figure.layout.sliders[0].steps
    assert [step.label for step in steps] == list("123456")
    for index, step in enumerate(steps):
        bands = step.args[0]["shapes"]
        # input, prediction, gradient, saturation, difference, h, c, 4 gates
        assert len(bands) == 11
        assert {(band["y0"] + band["y1"]) / 2 for band in bands} == {index}
    menu = figure.layout.updatemenus[0].buttons
    assert [button.label for button in menu] == [
        "layer 0 (reads the input)",
        "layer 1 (feeds the readout)",
    ]
    assert figure.layout.updatemenus[0].active == 1
    first, last = (button.args[0]["visible"] for button in menu)
    assert [trace.visible for trace in figure.data] == list(last)
    assert sum(first) == sum(last)
    assert not any(one and other for one, other in zip(first, last, strict=True))
    assert figure.layout.sliders[0].currentvalue.suffix == " of 6"
