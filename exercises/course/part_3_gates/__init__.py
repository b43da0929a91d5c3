"""Part 3: the gates of the GRU and of the LSTM."""

from exercises.exercise import Exercise

EXERCISES = (
    Exercise(
        "lstm_step",
        minutes=15,
        hints=(
            "Compute in the order of the equations: the pre-activations, the gates, c', h'.",
            "c' is a sum of two products: one keeps a part of c, the other adds a part of g.",
            "c_next = f * c + i * g, and h_next = o * torch.tanh(c_next).",
        ),
    ),
)
