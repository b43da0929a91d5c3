"""The three recurrences: their gates, their states and torch.nn's classes.

Letters in the whole package: T time, B batch, I input_size, H hidden_size, G number of gates,
L layers, D directions. A weight always has a separate gate axis here: (G, H, I).
"""

from dataclasses import dataclass

from torch import nn

from cell_verifier.reference.against import Against


@dataclass(frozen=True)
class Kind:
    """One of torch.nn's three recurrences.

    Attributes:
        name: ``"rnn"``, ``"gru"`` or ``"lstm"``.
        gates: full words, in torch.nn's row order.
        letters: one letter per gate, as in torch.nn's documentation.
        state: the parts of the state, h first.
        cell, layer: torch.nn's classes.
    """

    name: Against
    gates: tuple[str, ...]
    letters: str
    state: tuple[str, ...]
    cell: type[nn.Module]
    layer: type[nn.Module]

    @property
    def title(self) -> str:
        return self.name.upper()


RNN = Kind("rnn", ("candidate",), "n", ("h",), nn.RNNCell, nn.RNN)
GRU = Kind("gru", ("reset", "update", "candidate"), "rzn", ("h",), nn.GRUCell, nn.GRU)
LSTM = Kind(
    "lstm", ("input", "forget", "candidate", "output"), "ifgo", ("h", "c"), nn.LSTMCell, nn.LSTM
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in (RNN, GRU, LSTM)}

GATE_WORDS = {
    "input": ("i", "in", "input", "write", "ingate", "inputgate"),
    "forget": ("f", "forget", "keep", "forgetgate"),
    "output": ("o", "out", "output", "expose", "outgate", "outputgate"),
    "reset": ("r", "reset", "resetgate"),
    "update": ("z", "u", "update", "updategate"),
    "candidate": ("g", "c", "n", "j", "h", "cell", "candidate", "cand", "new", "memory", "tilde"),
}
"""Common gate names, used only to order the candidates, never as evidence."""
