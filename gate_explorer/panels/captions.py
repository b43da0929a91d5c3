"""What stands under each panel: what it is, and what to look for."""

GATES = {
    "input": "How much of the candidate each unit writes into its memory c. Look for: which rows "
    "are written down, and that most units write only at some rows.",
    "forget": "How much of its memory c each unit keeps. Look for: long brown columns, units that "
    "keep what they know for many rows; a green row is a moment at which a unit clears it.",
    "output": "How much of its memory each unit shows to the others and to the answer. Look for: "
    "units that open only towards the end, when the answer counts.",
    "reset": "How much of the past the candidate may see. Look for: green rows, where a unit "
    "starts afresh from the row it reads.",
    "update": "How much of the old h each unit keeps: 1 keeps all of it, 0 takes the candidate "
    "instead. Look for: brown columns, units that wait.",
    "candidate": "What each unit would like to take in from this row, from -1 to 1. Look for: "
    "rows with ink, where it changes, beside blank rows, where it hardly does.",
}

STATES = {
    "hidden": "The hidden state h after each row: all that the next row, the next layer and the "
    "answer get to see. Units are sorted by when they peak, hence the diagonal.",
    "cell": "The LSTM's memory c after each row: changed by products and sums only, so it may "
    "grow beyond 1. Look for: columns that build up over many rows.",
}

OWN_GATE = "A gate of this cell, unit by unit. Look for: rows at which many units change at once."
OWN_STATE = "A part of what this cell carries from step to step, unit by unit."

RNN_HIDDEN = (
    "The hidden state h after each row. An RNN has no gates: each row overwrites all of it. Look "
    "for: how little one row resembles the row before."
)

DIGIT = {
    "rows": "The digit; the cell reads one row at a time, from the top.",
    "columns": "The digit on its side: the cell reads one column at a time, from the left, and "
    "here each column is a row.",
    "pixels": "The digit; the cell reads one pixel at a time, row by row.",
    "permuted": "The digit as the cell reads it: one pixel at a time, in a fixed random order.",
}

ANSWER = (
    "What the model would answer if the image ended here. Look for: the row at which it makes up "
    "its mind, and classes it considers on the way."
)

GRADIENT = (
    "How strongly the winning score depends on each row x and each state h: the norm of its "
    "gradient, on a log scale. Look for: lines that fall towards the first step read, the "
    "vanishing gradient."
)

SATURATION = (
    "The share of units almost open (to the right) and almost shut (to the left). Look for: gates "
    "that sit at one end; there they hardly learn."
)

DIFFERENCE = (
    "How far the hand-written layer and torch.nn's are apart. Look for: nothing above 1e-6, which "
    "is rounding. Exact zeros are drawn at the left edge."
)

NO_TWIN = "torch.nn has no twin of this cell, so there is nothing to compare it with."


def of_gate(name: str) -> str:
    """The words under a gate's heatmap."""
    return GATES.get(name, OWN_GATE)


def of_state(name: str, gates: int) -> str:
    """The words under a state's heatmap, of a cell that shows so many gates."""
    if name == "hidden" and gates == 0:
        return RNN_HIDDEN
    return STATES.get(name, OWN_STATE)
