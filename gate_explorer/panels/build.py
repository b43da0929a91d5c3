"""Build the panels from the observations: values, colour scales and captions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gate_explorer.observation.observe import CellObservation, Observation
from gate_explorer.observation.time_bins import Array, TimeBins
from gate_explorer.panels import captions
from gate_explorer.panels.downsample import evenly_spaced, unit_orders, units_per_heatmap
from gate_explorer.panels.panel_types import (
    BLUE_TO_RED,
    GATE,
    INK,
    PROBABILITY,
    CellPanels,
    Heatmap,
    Line,
    LineChart,
    ModelPanels,
    Scale,
)
from training_loop.reports.saturation import is_gate, saturated

DIFFERENCE_AXIS = 3e-10, 1e-3
"""Range of the log scale of the difference from torch.nn."""
MIN_DIFFERENCE = 1e-9
"""Smaller differences, also exact zeros, are drawn here, where the line is visible."""
MAX_GRADIENT_RANGE = 1e12
"""Highest by lowest gradient norm on the log scale; smaller norms are drawn at its low end."""
STATE_SYMBOLS = {"hidden": "h", "cell": "c"}


def build_panels(observations: Sequence[Observation]) -> list[ModelPanels]:
    """The panels of models that read the same image, on common scales."""
    bins = TimeBins.for_time(observations[0].time)
    all_cells = [cell for observation in observations for cell in observation.cells]
    num_heatmaps = sum(len(cell.gates) + len(cell.states) for cell in all_cells)
    common = _Common(
        bins,
        max_units=units_per_heatmap(num_heatmaps, len(bins)),
        signed=_signed_scale(all_cells),
        cell_state=_cell_state_scale(all_cells),
        gradients=_gradient_range(observations),
    )
    return [
        ModelPanels(
            observation,
            bins,
            tuple(_cell_panels(observation, cell, common) for cell in observation.cells),
            _notes(observation, common),
        )
        for observation in observations
    ]


@dataclass(frozen=True)
class _Common:
    """What all panels of a page have in common, so that they can be compared.

    Attributes:
        bins: the rows of the panels.
        max_units: maximum number of units in a heatmap.
        signed: colour scale of candidates and hidden states.
        cell_state: colour scale of cell states.
        gradients: range of the gradient norms' axis.
    """

    bins: TimeBins
    max_units: int
    signed: Scale
    cell_state: Scale
    gradients: tuple[float, float]


def _cell_panels(observation: Observation, cell: CellObservation, common: _Common) -> CellPanels:
    return CellPanels(
        label=_cell_label(observation, cell),
        overview=(
            _input(observation),
            _prediction(observation, common.bins),
            _gradient(observation, cell, common),
            _saturation(cell, common.bins),
            _difference(observation, common.bins),
        ),
        internals=_internals(cell, common),
    )


def _cell_label(observation: Observation, cell: CellObservation) -> str:
    """The cell's entry in the menu, for example "layer 0, reverse"."""
    label = f"layer {cell.layer}"
    if any(other.reverse for other in observation.cells):
        label += ", reverse" if cell.reverse else ", forward"
    last = observation.cells[-1].layer
    if last == 0:
        return label
    role = {0: " (reads the input)", last: " (feeds the readout)"}
    return label + role.get(cell.layer, "")


def _input(observation: Observation) -> Heatmap:
    """The input sequence as an image: transposed if the model reads columns."""
    height, width = observation.image.shape
    if observation.sequence == "columns":
        height, width = width, height
    return Heatmap(
        "input",
        "input image",
        captions.INPUT[observation.sequence],
        observation.steps.reshape(height, width),
        tuple(map(str, range(width))),
        "pixel",
        INK,
    )


def _prediction(observation: Observation, bins: TimeBins) -> Heatmap:
    return Heatmap(
        "prediction",
        "prediction so far",
        captions.PREDICTION,
        bins.last(observation.probabilities),
        observation.class_names,
        "class",
        PROBABILITY,
    )


def _gradient(observation: Observation, cell: CellObservation, common: _Common) -> LineChart:
    low, high = common.gradients
    with_respect_to = {"x": observation.input_gradient} | {
        STATE_SYMBOLS.get(name, name): norms for name, norms in cell.gradients.items()
    }
    lines = [
        Line(name, np.maximum(common.bins.mean(norms), low), dashed=name == "x")
        for name, norms in with_respect_to.items()
    ]
    *_, (name, norms) = cell.gradients.items()  # of an LSTM those of c
    caption = captions.of_gradient(STATE_SYMBOLS.get(name, name), _change(norms, cell.reverse))
    title = "gradient norms"
    return LineChart("gradient", title, caption, tuple(lines), low, high, log=True)


def _change(norms: Array, reverse: bool) -> float:
    """The norm at the first step that the cell reads, divided by the norm at the last one."""
    first, last = (norms[-1], norms[0]) if reverse else (norms[0], norms[-1])
    return float(first / last) if last > 0 and np.isfinite([first, last]).all() else float("nan")


def _saturation(cell: CellObservation, bins: TimeBins) -> LineChart:
    lines = []
    for name, gate in cell.gates.items():
        open_share, shut_share = (bins.mean(mask.mean(axis=1)) for mask in saturated(name, gate))
        lines.append(Line(name, open_share, variant="open"))
        lines.append(Line(name, -shut_share, dashed=True, variant="shut"))
    title = "saturated units"
    return LineChart("saturation", title, captions.SATURATION, tuple(lines), -1, 1)


def _difference(observation: Observation, bins: TimeBins) -> LineChart:
    caption, lines = captions.NO_COUNTERPART, []
    if observation.difference is not None:
        largest = np.maximum(bins.max(observation.difference), MIN_DIFFERENCE)
        caption, lines = captions.DIFFERENCE, [Line("|scratch − torch.nn|", largest)]
    title = "difference from torch.nn"
    return LineChart("difference", title, caption, tuple(lines), *DIFFERENCE_AXIS, log=True)


def _internals(cell: CellObservation, common: _Common) -> tuple[Heatmap, ...]:
    """States first, then gates from 0 to 1, then the candidate.

    A gate that equals the hidden state, as an RNN's candidate does, is not shown twice.
    """
    orders = unit_orders(cell)
    hidden = cell.states["hidden"]
    gates = {name: gate for name, gate in cell.gates.items() if not np.array_equal(gate, hidden)}

    def heatmap(key: str, title: str, caption: str, values: Array, scale: Scale) -> Heatmap:
        units = evenly_spaced(orders[values.shape[1]], common.max_units)
        binned = common.bins.mean(values[:, units])
        return Heatmap(key, title, caption, binned, tuple(map(str, units)), "unit", scale)

    state_panels = [
        heatmap(
            f"state-{name}",
            f"{name} state {STATE_SYMBOLS[name]}" if name in STATE_SYMBOLS else name,
            captions.of_state(name, len(gates)),
            state,
            common.cell_state if name == "cell" else common.signed,
        )
        for name, state in cell.states.items()
    ]
    gate_panels = [
        heatmap(
            f"gate-{name}",
            name if name == "candidate" else f"{name} gate",
            captions.of_gate(name),
            gate,
            GATE if is_gate(name, gate) else common.signed,
        )
        for name, gate in gates.items()
    ]
    gate_panels.sort(key=lambda panel: panel.scale is not GATE)
    return (*state_panels, *gate_panels)


def _signed_scale(cells: Sequence[CellObservation]) -> Scale:
    """From -1 to 1, or wider if an unbounded candidate or state exceeds this."""
    values = [state for cell in cells for name, state in cell.states.items() if name != "cell"]
    values += [
        gate for cell in cells for name, gate in cell.gates.items() if not is_gate(name, gate)
    ]
    limit = max(1.0, *(float(np.abs(each).max()) for each in values))
    only_known_states = all(cell.states.keys() <= STATE_SYMBOLS.keys() for cell in cells)
    name = "candidate and h" if only_known_states else "candidate and states"
    return Scale(name, -limit, limit, BLUE_TO_RED)


def _cell_state_scale(cells: Sequence[CellObservation]) -> Scale:
    """Up to the 99th percentile of |c|, so that outliers do not make all other values pale."""
    values = [np.abs(cell.states["cell"]).ravel() for cell in cells if "cell" in cell.states]
    limit = float(np.percentile(np.concatenate(values), 99)) if values else 1.0
    return Scale("cell state c", -limit, limit, BLUE_TO_RED, clipped=True)


def _gradient_range(observations: Sequence[Observation]) -> tuple[float, float]:
    """Powers of ten that enclose all positive gradient norms, at most MAX_GRADIENT_RANGE apart."""
    norms = [observation.input_gradient for observation in observations]
    norms += [n for o in observations for cell in o.cells for n in cell.gradients.values()]
    every = np.concatenate(norms)
    positive = every[every > 0]
    if not len(positive):
        return 1 / MAX_GRADIENT_RANGE, 1.0
    high = 10 ** np.ceil(np.log10(positive.max()))
    low = 10 ** np.floor(np.log10(positive.min()))
    return float(max(low, high / MAX_GRADIENT_RANGE)), float(high)


def _notes(observation: Observation, common: _Common) -> tuple[str, ...]:
    """Disclaimers: recomputed gates, averaged steps, omitted units."""
    notes = []
    if observation.recomputed:
        assert observation.difference is not None
        notes.append(
            "torch.nn does not expose its gates. They are recomputed by the hand-written layer "
            "with the same weights. Largest difference between the recomputed outputs and the "
            f"model's own: {observation.difference.max():.1e}."
        )
    size = common.bins.size
    if size > 1:
        notes.append(
            f"The sequence has {observation.time} steps, more than a screen can show. Each row is "
            f"the mean of {size} steps; for the prediction it is the last of them, and for the "
            "difference from torch.nn the largest."
        )
    widest = max(state.shape[1] for cell in observation.cells for state in cell.states.values())
    if widest > common.max_units:
        shown = len(evenly_spaced(np.arange(widest), common.max_units))
        notes.append(f"{shown} of {widest} units are shown, evenly spaced in their order.")
    return tuple(notes)
