"""Part 7: a cell of your own."""

from exercises.exercise import Exercise

EXERCISES = (
    Exercise(
        "own_cell",
        minutes=40,
        timeout=40.0,
        hints=(
            "Start from a cell that you know, and change one thing: remove a gate, couple two of "
            "them, change an activation. Then give the gates their names.",
            "gates must return one (B, H) tensor for each name, with sigmoid for what is a share. "
            "update must use every gate, and h.",
            "For example c, g = (projected + self.hidden_to_hidden(h)).chunk(2, dim=-1), "
            "candidate=torch.tanh(c), keep=torch.sigmoid(g), and in update keep * h + "
            "(1 - keep) * candidate.",
        ),
    ),
    Exercise(
        "gates_of_a_layer",
        minutes=15,
        hints=(
            "trace(layer, x) runs the layer and records every gate. What does .of(layer=0) give?",
            "traced.of(layer=0).gates is a NamedTuple: its _asdict() has the gates by name. "
            "Average over batch and units, not over time.",
            "{name: gate.mean(dim=(1, 2)) for name, gate in "
            "trace(layer, x).of(layer=0).gates._asdict().items()}",
        ),
    ),
)
