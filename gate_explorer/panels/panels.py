"""The panels of the picture as plain data, whoever draws them: plotly or matplotlib.

In every panel the vertical axis is the time step, from the top, and covers the whole sequence, so
the same height is the same step everywhere.
"""

from dataclasses import dataclass

from gate_explorer.observation.observe import Observation
from gate_explorer.observation.time_bins import Array, Rows


@dataclass(frozen=True)
class Scale:
    """A colour scale; ``colours`` are evenly spaced from ``low`` to ``high``.

    Where it is ``clipped`` a few values lie beyond its ends, and have the colour of the end.
    """

    name: str
    low: float
    high: float
    colours: tuple[str, ...]
    clipped: bool = False

    @property
    def ends(self) -> tuple[str, str]:
        """What stands at either end of the colour bar."""
        below, beyond = ("≤ ", "≥ ") if self.clipped else ("", "")
        return f"{below}{self.low:.3g}", f"{beyond}{self.high:.3g}"


GREEN_TO_BROWN = ("#01665e", "#80cdc1", "#f5f5f5", "#dfc27d", "#8c510a")
BLUE_TO_RED = ("#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b")
INK = Scale("ink", 0, 1, ("#ffffff", "#111111"))
PROBABILITY = Scale("probability", 0, 1, ("#ffffff", "#c7b7e2", "#4a1486"))
GATE = Scale("gate", 0, 1, GREEN_TO_BROWN)


@dataclass(frozen=True, eq=False)
class Heat:
    """A heatmap: ``values`` (rows, columns); ``of`` is what a column is, for the hover text."""

    key: str
    title: str
    words: str
    values: Array
    columns: tuple[str, ...]
    of: str
    scale: Scale


@dataclass(frozen=True, eq=False)
class Line:
    """One curve, a value for each row; lines that are ``of`` the same thing share a colour."""

    of: str
    values: Array
    dashed: bool = False
    which: str = ""

    @property
    def name(self) -> str:
        """What to call the line."""
        return f"{self.of} {self.which}".strip()


@dataclass(frozen=True, eq=False)
class Curves:
    """Curves over the rows, running from the top down; ``low`` to ``high`` is the axis' range."""

    key: str
    title: str
    words: str
    lines: tuple[Line, ...]
    low: float
    high: float
    log: bool = False


Panel = Heat | Curves


@dataclass(frozen=True, eq=False)
class CellPanels:
    """One cell's picture: what the whole model did, then what this cell did."""

    label: str
    overview: tuple[Panel, ...]
    inside: tuple[Heat, ...]

    @property
    def all(self) -> tuple[Panel, ...]:
        """Every panel, in reading order."""
        return (*self.overview, *self.inside)


@dataclass(frozen=True, eq=False)
class RunPanels:
    """One model's pictures, one for each layer and direction."""

    observation: Observation
    rows: Rows
    cells: tuple[CellPanels, ...]
    notes: tuple[str, ...]
