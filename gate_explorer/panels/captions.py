"""Captions of the panels: what each panel shows, and what to look for."""

GATES = {
    "input": "How much of its candidate each unit adds to its cell state c: nothing at 0, all of "
    "it at 1. Look for: the steps at which a unit writes.",
    "forget": "How much of its cell state c each unit keeps: all of it at 1, nothing at 0. Look "
    "for: brown columns, units that keep c for many steps, and green cells, steps at which a unit "
    "clears its c.",
    "output": "How much of tanh(c) each unit passes on as h. Look for: units that open only at "
    "the last steps, which determine the prediction.",
    "reset": "How much of the previous state enters each unit's candidate. Look for: green cells, "
    "steps at which the candidate depends almost only on the current input.",
    "update": "How much of its old h each unit keeps: all of it at 1; at 0 the candidate replaces "
    "it. Look for: brown columns, units whose update gate stays near 1.",
    "candidate": "The new value of each unit, computed from the current input and the previous "
    "state, from -1 to 1. Look for: large changes at steps with ink, small changes at blank steps.",
}

STATES = {
    "hidden": "The hidden state h after each step. The next step, the next layer and the readout "
    "use it. Units are sorted by the step at which |h| peaks, which gives the diagonal.",
    "cell": "The LSTM's cell state c after each step. It changes only by an elementwise product "
    "and a sum, so it can grow beyond 1. Look for: columns whose colour grows "
    "stronger over many steps.",
}

CUSTOM_GATE = "A gate of this custom cell. Look for: steps at which many units change at once."
CUSTOM_STATE = "A part of the state that this custom cell passes from step to step."

HIDDEN_WITHOUT_GATES = (
    "The hidden state h after each step. This cell has no gates: each step overwrites all of h. "
    "Look for: how different two consecutive steps are."
)

INPUT = {
    "rows": "The image. The model reads one row per step, from the top.",
    "columns": "The image, transposed. The model reads one column per step, from the left; each "
    "column is drawn as a row.",
    "pixels": "The image. The model reads one pixel per step, row by row from the top.",
    "permuted": "The pixels in the order in which the model reads them: one per step, in a fixed "
    "random order.",
}

PREDICTION = (
    "The class probabilities if the sequence ended after each step. Look for: the step at which "
    "one class becomes the most likely, and the classes that were likely before."
)

GRADIENT = (
    "How strongly the predicted class's score depends on each input x and each state: the norm of "
    "the gradient, on a log scale."
)
VANISHING_BELOW, EXPLODING_ABOVE = 0.1, 10.0
"""Ratio of the gradient norms at the first and the last step that a cell reads."""

SATURATION = (
    "The share of units above 0.9 (open: solid line, to the right) and below 0.1 (shut: dotted "
    "line, to the left). A candidate counts as shut below −0.9. Look for: gates with most units at "
    "one end. Almost no gradient passes through them, so they learn slowly."
)

DIFFERENCE = (
    "The largest difference between the outputs of the hand-written layer and of torch.nn's, with "
    "the same weights. Values up to about 1e-6 are rounding. Exact zeros are drawn at 1e-9."
)

NO_COUNTERPART = "torch.nn has no counterpart of this cell, so there is no comparison."


def of_gate(name: str) -> str:
    """The caption of a gate's heatmap."""
    return GATES.get(name, CUSTOM_GATE)


def of_state(name: str, num_gates: int) -> str:
    """The caption of a state's heatmap; ``num_gates`` is the number of gates shown next to it."""
    if name == "hidden" and num_gates == 0:
        return HIDDEN_WITHOUT_GATES
    return STATES.get(name, CUSTOM_STATE)


def of_gradient(state: str, ratio: float) -> str:
    """The caption of the gradient norms of a cell.

    Args:
        state: the symbol of the state to which ``ratio`` belongs.
        ratio: the norm with respect to the state after the first step that the cell reads, divided
            by the norm after the last one; NaN if it is not defined.
    """
    if ratio != ratio:
        return GRADIENT
    if ratio < VANISHING_BELOW:
        change = "falls" if ratio == 0 else f"falls by a factor of {1 / ratio:.2g}"
        return f"{GRADIENT} Towards the first step, {state} {change}: a vanishing gradient."
    if ratio > EXPLODING_ABOVE:
        change = f"grows by a factor of {ratio:.2g}"
        return f"{GRADIENT} Towards the first step, {state} {change}: an exploding gradient."
    return (
        f"{GRADIENT} Between the first and the last step, {state} differs by a factor of less than "
        "10: the gradient neither vanishes nor explodes."
    )
