"""``explore``: every panel in one plotly figure, for a notebook."""

import math
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]
from plotly.subplots import make_subplots  # type: ignore[import-untyped]
from torch import Tensor, nn

from gate_explorer.observation.observe import observe
from gate_explorer.observation.time_bins import Rows
from gate_explorer.panels.build import build_panels
from gate_explorer.panels.panels import CellPanels, Curves, RunPanels, Scale
from gate_explorer.render.plotly_charts import horizontal_axis, row_labels, traces, vertical_axis

ACCENT = "#d6006c"
HEIGHT = 860  # pixels
GAP = 0.03  # between panels, of the width


def explore(
    model: nn.Module,
    image: Tensor,
    *,
    sequence: str = "rows",
    label: int | None = None,
    class_names: tuple[str, ...] | None = None,
) -> go.Figure:
    """Show what happens inside ``model`` while it reads ``image``.

    Args:
        model: a SequenceClassifier on a layer of scratch_cells, of a cell of your own, or torch.nn.
        image: (height, width) uint8.
        sequence: how the image is read.
        label: its true class, if known.
        class_names: what each class stands for; numbers if not given.

    Returns:
        A figure with a slider through time and a menu for layer and direction.

    Raises:
        ExplorerError: the model or the image is not of this kind, or one does not fit the other.
    """
    observed = observe(model, image, sequence=sequence, label=label, class_names=class_names)
    (run,) = build_panels([observed])
    figure = _grid(run.cells[0])
    for cell in run.cells:
        _add(figure, cell, run.rows, visible=cell is run.cells[0])
    return figure.update_layout(
        template="none",
        title={
            "text": f"{observed.name} answers {observed.class_names[observed.answer]}",
            "x": 0.03,
        },
        height=HEIGHT,
        margin={"l": 40, "r": 20, "t": 110, "b": 150},
        font_size=10,
        sliders=[_slider(run)],
        updatemenus=[_menu(run)],
        shapes=_markers(run.cells[0], run.rows, len(run.rows) - 1),
    )


def _grid(cell: CellPanels) -> go.Figure:
    """Empty axes: the overview in one row, the heatmaps of the cell in another."""
    above, below = len(cell.overview), len(cell.inside)
    columns = math.lcm(above, below)
    specs: list[list[dict[str, int] | None]] = []
    for count in (above, below):
        span = columns // count
        specs.append([{"colspan": span} if at % span == 0 else None for at in range(columns)])
    return make_subplots(
        rows=2,
        cols=columns,
        specs=specs,
        subplot_titles=[panel.title for panel in cell.all],
        horizontal_spacing=min(GAP, 0.9 / (columns - 1)),
        vertical_spacing=0.22,
    )


def _places(cell: CellPanels) -> list[tuple[int, int]]:
    """Row and column of the grid for each panel."""
    above, below = len(cell.overview), len(cell.inside)
    columns = math.lcm(above, below)
    return [
        (row, 1 + number * (columns // count))
        for row, count in ((1, above), (2, below))
        for number in range(count)
    ]


def _add(figure: go.Figure, cell: CellPanels, rows: Rows, visible: bool) -> None:
    seen: set[Scale] = set()
    for number, (panel, (row, column)) in enumerate(zip(cell.all, _places(cell), strict=True), 1):
        place = next(figure.select_xaxes(row=row, col=column)).domain
        drawn = traces(panel, rows)
        if isinstance(panel, Curves):
            legend = f"legend{number}"
            figure.update_layout({legend: {"x": place[0], "y": 0.54, "orientation": "h"}})
            for trace, line in zip(drawn, panel.lines, strict=True):
                named = len(panel.lines) > 1 and line.which != "shut"
                trace.update(name=line.of, legend=legend, showlegend=named)
        elif panel in cell.inside and panel.scale not in seen:  # one colour bar for each kind
            seen.add(panel.scale)
            drawn[0].update(showscale=True, colorbar=_colour_bar(panel.scale, place))
        for trace in drawn:
            figure.add_trace(trace.update(visible=visible), row=row, col=column)
        figure.update_xaxes(horizontal_axis(panel), row=row, col=column)
        figure.update_yaxes(vertical_axis(panel, rows), row=row, col=column)


def _colour_bar(scale: Scale, place: tuple[float, float]) -> dict[str, Any]:
    """Below the heatmap that spans ``place`` of the figure's width."""
    return {
        "orientation": "h",
        "x": sum(place) / 2,
        "len": place[1] - place[0],
        "y": -0.08,
        "yanchor": "top",
        "thickness": 8,
        "tickvals": [scale.low, scale.high],
        "ticktext": scale.ends,
        "title": {"text": scale.name, "side": "bottom"},
    }


def _menu(run: RunPanels) -> dict[str, Any]:
    counts = [sum(len(traces(panel, run.rows)) for panel in cell.all) for cell in run.cells]
    owners = [number for number, count in enumerate(counts) for _ in range(count)]
    buttons = [
        {
            "label": cell.label,
            "method": "restyle",
            "args": [{"visible": [owner == number for owner in owners]}],
        }
        for number, cell in enumerate(run.cells)
    ]
    return {"buttons": buttons, "x": 1, "xanchor": "right", "y": 1.17, "yanchor": "top"}


def _slider(run: RunPanels) -> dict[str, Any]:
    steps = [
        {
            "label": label,
            "method": "relayout",
            "args": [{"shapes": _markers(run.cells[0], run.rows, row)}],
        }
        for row, label in enumerate(run.rows.labels)
    ]
    return {
        "steps": steps,
        "active": len(steps) - 1,
        "currentvalue": {"prefix": "step "},
        "y": -0.2,
    }


def _markers(cell: CellPanels, rows: Rows, row: int) -> list[dict[str, Any]]:
    """A band over one row, in every panel."""
    markers = []
    for number, panel in enumerate(cell.all, start=1):
        axis = "" if number == 1 else str(number)
        height = len(row_labels(panel, rows)) / len(rows)  # the digit has rows of its own
        markers.append(
            {
                "type": "rect",
                "xref": f"x{axis} domain",
                "yref": f"y{axis}",
                "x0": 0,
                "x1": 1,
                "y0": row * height - 0.5,
                "y1": (row + 1) * height - 0.5,
                "line": {"color": ACCENT, "width": 1},
                "fillcolor": ACCENT,
                "opacity": 0.3,
            }
        )
    return markers
