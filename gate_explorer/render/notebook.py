"""``explore``: all panels of one model in one plotly figure, for a notebook."""

import json
import math
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots
from torch import Tensor, nn

from gate_explorer.errors import ExplorerError
from gate_explorer.inputs.load_run import load_run
from gate_explorer.inputs.select_image import select_index
from gate_explorer.observation.observe import Observation, observe
from gate_explorer.observation.time_bins import TimeBins
from gate_explorer.panels.axes import row_labels
from gate_explorer.panels.build import build_panels
from gate_explorer.panels.panel_types import CellPanels, LineChart, ModelPanels, Scale
from gate_explorer.render.plotly_charts import (
    horizontal_axis,
    plotly_traces,
    vertical_axis,
)

MARKER_COLOUR = "#d6006c"
HEIGHT = 860  # pixels
MAX_GAP = 0.03  # between panels, as a share of the figure's width


class NotebookFigure(go.Figure):  # type: ignore[misc]  # plotly is untyped
    """A plotly figure that an HTML export of the notebook keeps.

    What plotly itself saves in a notebook is JSON, which Jupyter draws and an export leaves out.
    This figure is saved as HTML too, with plotly.js (5 MB), so that the export needs no network.
    """

    _ipython_display_ = None  # plotly's method would display the figure in place of the bundle

    def _repr_mimebundle_(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {
            "application/vnd.plotly.v1+json": json.loads(self.to_json()),
            "text/html": self.to_html(full_html=False, include_plotlyjs=True),
        }


def explore(
    model: nn.Module | str | Path,
    image: Tensor | int | None = None,
    *,
    sequence: str = "rows",
    label: int | None = None,
    class_names: tuple[str, ...] | None = None,
) -> go.Figure:
    """Show gates, states, gradients and predictions of ``model`` while it reads ``image``.

    Args:
        model: a SequenceClassifier whose layer is from scratch_cells, made by ``layer_of``, or
            torch.nn's RNN, GRU or LSTM. Or the folder of a run of train.py, whose test images and
            sequence are then used.
        image: (height, width) uint8. With the folder of a run, the index of a test image.
        sequence: how the image is read: ``rows``, ``columns``, ``pixels`` or ``permuted``.
        label: the image's correct class, if it is known. With the folder of a run, the class whose
            first test image is shown.
        class_names: the name of each class; ``"0"``, ``"1"``, ... by default.

    Returns:
        A plotly figure with a slider over the time steps and a menu of layers and directions.

    Raises:
        ExplorerError: the model or the image has the wrong type, or the image does not fit the
            model's input_size.
        ConfigError, DataError: the folder is not a run, or its images cannot be loaded.

    Example:
        ``explore("runs/NAME", label=7)``
    """
    if isinstance(model, str | Path):
        observation = _observe_run(Path(model), image, label)
    elif isinstance(image, Tensor):
        observation = observe(model, image, sequence=sequence, label=label, class_names=class_names)
    else:
        raise ExplorerError(
            f"image is {image!r}: expected a tensor (height, width), or the folder of a run as "
            "model"
        )
    (panels,) = build_panels([observation])
    figure = _empty_grid(panels.cells[0])
    for index, cell in enumerate(panels.cells):
        _add_cell(figure, cell, panels.bins, visible=index == panels.default_cell)
    predicted = observation.class_names[observation.prediction]
    return figure.update_layout(
        template="none",
        title={"text": f"{observation.name} predicts {predicted}", "x": 0.03},
        height=HEIGHT,
        margin={"l": 40, "r": 20, "t": 110, "b": 150},
        font_size=10,
        sliders=[_slider(panels)],
        updatemenus=[_menu(panels)],
        shapes=_markers(panels.cells[0], panels.bins, len(panels.bins) - 1),
    )


def _observe_run(path: Path, image: Tensor | int | None, label: int | None) -> Observation:
    """Observe the model of a run while it reads one of its test images."""
    if isinstance(image, Tensor):
        raise ExplorerError(
            "image is a tensor: with the folder of a run, give the index of a test image, or label"
        )
    run = load_run(path)
    index = select_index(run, image, label, wrong=False)
    return observe(
        run.model,
        run.images.test_images[index],
        sequence=run.sequence,
        label=int(run.images.test_labels[index]),
        class_names=run.class_names,
        name=run.name,
    )


def _empty_grid(cell: CellPanels) -> go.Figure:
    """Empty axes: the overview in the first row, the states and gates of the cell in the second."""
    above, below = len(cell.overview), len(cell.internals)
    columns = math.lcm(above, below)
    specs: list[list[dict[str, int] | None]] = []
    for count in (above, below):
        span = columns // count
        specs.append(
            [{"colspan": span} if column % span == 0 else None for column in range(columns)]
        )
    return make_subplots(
        figure=NotebookFigure(),
        rows=2,
        cols=columns,
        specs=specs,
        subplot_titles=[panel.title for panel in cell.all],
        horizontal_spacing=min(MAX_GAP, 0.9 / (columns - 1)),
        vertical_spacing=0.22,
    )


def _grid_positions(cell: CellPanels) -> list[tuple[int, int]]:
    """Row and column of the grid, from 1, for each panel."""
    above, below = len(cell.overview), len(cell.internals)
    columns = math.lcm(above, below)
    return [
        (row, 1 + index * (columns // count))
        for row, count in ((1, above), (2, below))
        for index in range(count)
    ]


def _add_cell(figure: go.Figure, cell: CellPanels, bins: TimeBins, visible: bool) -> None:
    scales_drawn: set[Scale] = set()
    positions = _grid_positions(cell)
    for number, (panel, (row, column)) in enumerate(zip(cell.all, positions, strict=True), 1):
        domain = next(figure.select_xaxes(row=row, col=column)).domain
        traces = plotly_traces(panel, bins)
        if isinstance(panel, LineChart):
            legend = f"legend{number}"
            figure.update_layout({legend: {"x": domain[0], "y": 0.54, "orientation": "h"}})
            for trace, line in zip(traces, panel.lines, strict=True):
                in_legend = len(panel.lines) > 1 and line.variant != "shut"
                trace.update(name=line.group, legend=legend, showlegend=in_legend)
        elif panel in cell.internals and panel.scale not in scales_drawn:
            scales_drawn.add(panel.scale)
            traces[0].update(showscale=True, colorbar=_colour_bar(panel.scale, domain))
        for trace in traces:
            figure.add_trace(trace.update(visible=visible), row=row, col=column)
        figure.update_xaxes(horizontal_axis(panel), row=row, col=column)
        figure.update_yaxes(vertical_axis(panel, bins), row=row, col=column)


def _colour_bar(scale: Scale, domain: tuple[float, float]) -> dict[str, Any]:
    """A colour bar below the heatmap that covers ``domain``, a range of the figure's width."""
    return {
        "orientation": "h",
        "x": sum(domain) / 2,
        "len": domain[1] - domain[0],
        "y": -0.08,
        "yanchor": "top",
        "thickness": 8,
        "tickvals": [scale.low, scale.high],
        "ticktext": scale.end_labels,
        "title": {"text": scale.name, "side": "bottom"},
    }


def _menu(panels: ModelPanels) -> dict[str, Any]:
    """A menu that shows the traces of one cell and hides those of the others."""
    num_traces = [
        sum(len(plotly_traces(panel, panels.bins)) for panel in cell.all) for cell in panels.cells
    ]
    cell_of_trace = [index for index, count in enumerate(num_traces) for _ in range(count)]
    buttons = [
        {
            "label": cell.label,
            "method": "restyle",
            "args": [{"visible": [owner == index for owner in cell_of_trace]}],
        }
        for index, cell in enumerate(panels.cells)
    ]
    return {
        "buttons": buttons,
        "active": panels.default_cell,
        "x": 1,
        "xanchor": "right",
        "y": 1.17,
        "yanchor": "top",
    }


def _slider(panels: ModelPanels) -> dict[str, Any]:
    steps = [
        {
            "label": label,
            "method": "relayout",
            "args": [{"shapes": _markers(panels.cells[0], panels.bins, index)}],
        }
        for index, label in enumerate(panels.bins.labels)
    ]
    return {
        "steps": steps,
        "active": len(steps) - 1,
        "currentvalue": {"prefix": "step ", "suffix": f" of {panels.observation.time}"},
        "y": -0.2,
    }


def _markers(cell: CellPanels, bins: TimeBins, bin_index: int) -> list[dict[str, Any]]:
    """A band over one time bin, in every panel."""
    markers = []
    for number, panel in enumerate(cell.all, start=1):
        axis = "" if number == 1 else str(number)
        height = len(row_labels(panel, bins)) / len(bins)  # the input panel has rows of pixels
        markers.append(
            {
                "type": "rect",
                "xref": f"x{axis} domain",
                "yref": f"y{axis}",
                "x0": 0,
                "x1": 1,
                "y0": bin_index * height - 0.5,
                "y1": (bin_index + 1) * height - 0.5,
                "line": {"color": MARKER_COLOUR, "width": 1},
                "fillcolor": MARKER_COLOUR,
                "opacity": 0.3,
            }
        )
    return markers
