"""From observations to panels: what is shown, on which scale, with which words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gate_explorer.observation.observe import CellObservation, Observation
from gate_explorer.observation.time_bins import Array, Rows
from gate_explorer.panels import captions as words
from gate_explorer.panels.downsample import every_kth, unit_orders, units_shown
from gate_explorer.panels.panels import (
    BLUE_TO_RED,
    GATE,
    INK,
    PROBABILITY,
    CellPanels,
    Curves,
    Heat,
    Line,
    RunPanels,
    Scale,
)
from training_loop.reports.saturation import HIGH, LOW

FLOOR = 1e-9
"""Where zeros are drawn on the log scale of the differences."""


def build_panels(observations: Sequence[Observation]) -> list[RunPanels]:
    """The pictures of models that read the same image, on common scales."""
    rows = Rows.for_time(observations[0].time)
    every_cell = [cell for observation in observations for cell in observation.cells]
    heatmaps = sum(len(cell.gates) + len(cell.states) for cell in every_cell)
    shared = _Shared(
        rows,
        units=units_shown(heatmaps, len(rows)),
        signed=_signed_scale(every_cell),
        memory=_memory_scale(every_cell),
        gradients=_gradient_range(observations),
    )
    return [
        RunPanels(
            observation,
            rows,
            tuple(_cell_panels(observation, cell, shared) for cell in observation.cells),
            _notes(observation, shared),
        )
        for observation in observations
    ]


@dataclass(frozen=True)
class _Shared:
    """What the pictures of one page have in common."""

    rows: Rows
    units: int
    signed: Scale
    memory: Scale
    gradients: tuple[float, float]


def _cell_panels(observation: Observation, cell: CellObservation, shared: _Shared) -> CellPanels:
    return CellPanels(
        label=_label(observation, cell),
        overview=(
            _digit(observation),
            _answer(observation, shared.rows),
            _gradient(observation, cell, shared),
            _saturation(cell, shared.rows),
            _difference(observation, shared.rows),
        ),
        inside=_inside(cell, shared),
    )


def _label(observation: Observation, cell: CellObservation) -> str:
    """What the menu calls a cell."""
    label = f"layer {cell.layer}"
    if any(other.reverse for other in observation.cells):
        label += ", reverse" if cell.reverse else ", forward"
    top = observation.cells[-1].layer
    if top == 0:
        return label
    if cell.layer == top:
        return f"{label} (gives the answer)"
    return f"{label} (reads the image)" if cell.layer == 0 else label


def _digit(observation: Observation) -> Heat:
    """The steps laid out as the picture that the cell reads: a picture's row for each row."""
    height, width = observation.image.shape
    if observation.sequence == "columns":
        height, width = width, height
    return Heat(
        "digit",
        "the digit",
        words.DIGIT[observation.sequence],
        observation.steps.reshape(height, width),
        tuple(map(str, range(width))),
        "pixel",
        INK,
    )


def _answer(observation: Observation, rows: Rows) -> Heat:
    return Heat(
        "answer",
        "the answer so far",
        words.ANSWER,
        rows.last(observation.probabilities),
        observation.class_names,
        "class",
        PROBABILITY,
    )


def _gradient(observation: Observation, cell: CellObservation, shared: _Shared) -> Curves:
    low, high = shared.gradients
    with_respect_to = {"x": observation.input_gradient} | {
        {"hidden": "h", "cell": "c"}.get(name, name): norms
        for name, norms in cell.gradients.items()
    }
    lines = [
        Line(name, np.maximum(shared.rows.mean(norms), low), dashed=name == "x")
        for name, norms in with_respect_to.items()
    ]
    title = "which rows mattered"
    return Curves("gradient", title, words.GRADIENT, tuple(lines), low, high, log=True)


def _saturation(cell: CellObservation, rows: Rows) -> Curves:
    lines = []
    for name, gate in cell.gates.items():
        low = LOW if is_gate(name, gate) else -HIGH
        lines.append(Line(name, rows.mean((gate > HIGH).mean(axis=1)), which="open"))
        shut = rows.mean((gate < low).mean(axis=1))
        lines.append(Line(name, -shut, dashed=True, which="shut"))
    title = "saturated units"
    return Curves("saturation", title, words.SATURATION, tuple(lines), -1, 1)


def _difference(observation: Observation, rows: Rows) -> Curves:
    text, lines = words.NO_TWIN, []
    if observation.difference is not None:
        largest = np.maximum(rows.largest(observation.difference), FLOOR)
        text, lines = words.DIFFERENCE, [Line("|scratch - builtin|", largest)]
    title = "scratch beside builtin"
    return Curves("difference", title, text, tuple(lines), FLOOR, 1e-3, log=True)


def _inside(cell: CellObservation, shared: _Shared) -> tuple[Heat, ...]:
    orders = unit_orders(cell)
    hidden = cell.states["hidden"]
    gates = {name: g for name, g in cell.gates.items() if not np.array_equal(g, hidden)}

    def heat(kind: str, name: str, text: str, values: Array, scale: Scale) -> Heat:
        units = every_kth(orders[values.shape[1]], shared.units)
        shown = shared.rows.mean(values[:, units])
        columns = tuple(str(unit) for unit in units)
        return Heat(f"{kind}-{name}", _symbol(name, kind), text, shown, columns, "unit", scale)

    states = [
        heat(
            "state",
            name,
            words.of_state(name, len(gates)),
            state,
            shared.memory if name == "cell" else shared.signed,
        )
        for name, state in cell.states.items()
    ]
    opened = [
        heat(
            "gate", name, words.of_gate(name), gate, GATE if is_gate(name, gate) else shared.signed
        )
        for name, gate in gates.items()
    ]
    opened.sort(key=lambda panel: panel.scale is not GATE)  # those from 0 to 1 side by side
    return (*states, *opened)


def is_gate(name: str, values: Array) -> bool:
    """Whether these are shares from 0 to 1, and not values on both sides of zero."""
    return name != "candidate" and values.min() >= 0 and values.max() <= 1


def _symbol(name: str, kind: str = "state") -> str:
    if kind == "gate":
        return name if name == "candidate" else f"{name} gate"
    return {"hidden": "hidden state h", "cell": "cell state c"}.get(name, name)


def _signed_scale(cells: Sequence[CellObservation]) -> Scale:
    """From -1 to 1, or as far as an unbounded candidate or state goes."""
    values = [state for cell in cells for name, state in cell.states.items() if name != "cell"]
    values += [g for cell in cells for name, g in cell.gates.items() if not is_gate(name, g)]
    limit = max(1.0, *(float(np.abs(each).max()) for each in values))
    return Scale("candidate and h", -limit, limit, BLUE_TO_RED)


def _memory_scale(cells: Sequence[CellObservation]) -> Scale:
    """As far as 99 % of the cell states go: a few count far, and would leave the others pale."""
    values = [np.abs(cell.states["cell"]).ravel() for cell in cells if "cell" in cell.states]
    limit = float(np.percentile(np.concatenate(values), 99)) if values else 1.0
    return Scale("cell state c", -limit, limit, BLUE_TO_RED, clipped=True)


def _gradient_range(observations: Sequence[Observation]) -> tuple[float, float]:
    """The positive gradient norms' range over everything shown, at most twelve decades."""
    norms = [observation.input_gradient for observation in observations]
    norms += [n for o in observations for cell in o.cells for n in cell.gradients.values()]
    every = np.concatenate(norms)
    positive = every[every > 0]
    if not len(positive):
        return 1e-12, 1.0
    high = 10 ** np.ceil(np.log10(positive.max()))
    low = 10 ** np.floor(np.log10(positive.min()))
    return float(max(low, high * 1e-12)), float(high)


def _notes(observation: Observation, shared: _Shared) -> tuple[str, ...]:
    """What the page must admit: replayed gates, means over steps, units left out."""
    notes = []
    if observation.replayed:
        assert observation.difference is not None
        notes.append(
            "torch.nn does not show its gates: they are replayed through the hand-written twin "
            "with the same weights. Largest difference between the replayed output and the "
            f"model's own: {observation.difference.max():.1e}."
        )
    if shared.rows.size > 1:
        notes.append(
            f"{observation.time} steps are more than a screen can show: each row is the mean of "
            f"{shared.rows.size} steps (for the answer the last of them, for scratch beside "
            "builtin the largest)."
        )
    widest = max(state.shape[1] for cell in observation.cells for state in cell.states.values())
    if widest > shared.units:
        shown = len(every_kth(np.arange(widest), shared.units))
        notes.append(f"Of {widest} units {shown} are shown, evenly spread along their order.")
    return tuple(notes)
