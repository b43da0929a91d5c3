"""Part 1: one RNN step, and the loop over time."""

from exercises.exercise import Exercise

EXERCISES = (
    Exercise(
        "shapes_of_a_layer",
        minutes=5,
        hints=(
            "Read each equation: what is multiplied by the matrix, and what is the result?",
            "A matrix that turns I values into H values has H rows and I columns. With G gates, G "
            "of them are stacked: G*H rows.",
            "w_ih (G*H, I), w_hh (G*H, H), bias (G*H,), x (T, B, I), output (T, B, H), "
            "h_n (1, B, H).",
        ),
    ),
    Exercise(
        "rnn_step",
        minutes=10,
        hints=(
            "Compute the sum a first, then apply the nonlinearity.",
            "The sum has four terms: two products and two biases. The samples are the rows of x, "
            "so W x is x @ w.T.",
            "a = x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, and h_next = torch.tanh(a).",
        ),
    ),
    Exercise(
        "loop_over_time",
        minutes=10,
        hints=(
            "Keep h in one variable, and replace it at every time step.",
            "Step t receives the state of step t-1, not h_0. Save every state in a list.",
            "for x_t in x: h = rnn_step(x_t, h, ...) and outputs.append(h). At the end, "
            "torch.stack(outputs) and h.",
        ),
    ),
    Exercise(
        "sizes_that_differ",
        minutes=10,
        hints=(
            "Which mistakes does the test miss if two sizes are the same, or if the state is zero?",
            "T, B, I and H must all be different and more than 1, and no tensor may be constant.",
            "For example time, batch, input_size, hidden_size = 5, 3, 4, 2, and torch.randn for "
            "both x and h_0.",
        ),
    ),
)
