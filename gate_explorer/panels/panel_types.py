"""The panels as plain data, independent of the plotting library.

The vertical axis of every panel is time. It runs from the top to the bottom and covers the whole
sequence, so the same height is the same time step in all panels.
"""

from dataclasses import dataclass

from gate_explorer.observation.observe import Observation
from gate_explorer.observation.time_bins import Array, TimeBins


@dataclass(frozen=True)
class Scale:
    """A colour scale; ``colours`` are evenly spaced from ``low`` to ``high``.

    If it is ``clipped``, a few values are outside this range. They get the colour of the nearer
    end.
    """

    name: str
    low: float
    high: float
    colours: tuple[str, ...]
    clipped: bool = False

    @property
    def end_labels(self) -> tuple[str, str]:
        """The labels at the two ends of the colour bar."""
        below, above = ("≤ ", "≥ ") if self.clipped else ("", "")
        return f"{below}{self.low:.3g}", f"{above}{self.high:.3g}"


GREEN_TO_BROWN = ("#01665e", "#80cdc1", "#f5f5f5", "#dfc27d", "#8c510a")
BLUE_TO_RED = ("#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b")
INK = Scale("ink", 0, 2, ("#ffffff", "#111111"))  # the range of sequenced_mnist.to_sequences
PROBABILITY = Scale("probability", 0, 1, ("#ffffff", "#c7b7e2", "#4a1486"))
GATE = Scale("gate", 0, 1, GREEN_TO_BROWN)


@dataclass(frozen=True, eq=False)
class Heatmap:
    """A heatmap panel.

    Attributes:
        key: identifies the panel on the page, for example ``gate-forget``.
        title, caption: texts above and below the panel.
        values: (bins, columns); of the input panel (height, width).
        columns: the name of each column.
        column_kind: what a column is, for the hover text: ``unit``, ``class`` or ``pixel``.
        scale: the colour scale.
    """

    key: str
    title: str
    caption: str
    values: Array
    columns: tuple[str, ...]
    column_kind: str
    scale: Scale


@dataclass(frozen=True, eq=False)
class Line:
    """A line of a chart.

    Attributes:
        group: what the line shows, for example ``forget``; lines of one group share a colour.
        values: one value per time bin, (bins,).
        dashed: drawn as a dotted line, also in the legend.
        variant: distinguishes the lines of one group: ``open`` or ``shut``; may be empty.
    """

    group: str
    values: Array
    dashed: bool = False
    variant: str = ""

    @property
    def name(self) -> str:
        """Group and variant."""
        return f"{self.group} {self.variant}".strip()


@dataclass(frozen=True, eq=False)
class LineChart:
    """A panel of lines from the top to the bottom; the horizontal axis is ``low`` to ``high``."""

    key: str
    title: str
    caption: str
    lines: tuple[Line, ...]
    low: float
    high: float
    log: bool = False


Panel = Heatmap | LineChart


@dataclass(frozen=True, eq=False)
class CellPanels:
    """The panels of one cell.

    Attributes:
        label: names layer and direction in the menu.
        overview: input, prediction, gradient norms, saturation and difference from torch.nn.
        internals: heatmaps of the states and the gates.
    """

    label: str
    overview: tuple[Panel, ...]
    internals: tuple[Heatmap, ...]

    @property
    def all(self) -> tuple[Panel, ...]:
        """Every panel, in reading order."""
        return (*self.overview, *self.internals)


@dataclass(frozen=True, eq=False)
class ModelPanels:
    """The panels of one model.

    Attributes:
        observation: what the panels show.
        bins: the rows of the panels.
        cells: one for each layer and direction, layer by layer, forward before reverse.
        notes: disclaimers about recomputed gates, averaged steps and omitted units.
    """

    observation: Observation
    bins: TimeBins
    cells: tuple[CellPanels, ...]
    notes: tuple[str, ...]

    @property
    def default_cell(self) -> int:
        """The index of the cell that is shown first: the last layer's, forward.

        The readout uses its hidden state. The page, the notebook and the PNG all show this cell.
        """
        directions = 1 + any(cell.reverse for cell in self.observation.cells)
        return len(self.cells) - directions
