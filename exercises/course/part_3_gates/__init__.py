"""Part 3: the gates of the GRU and of the LSTM."""

from exercises.exercise import Exercise

EXERCISES = (
    Exercise(
        "gru_gates",
        minutes=10,
        hints=(
            "Both gates have the same form. Only the weights are different.",
            "A gate is the sigmoid of a sum of four terms: two products and two biases.",
            "r = torch.sigmoid(x @ w_ir.T + b_ir + h @ w_hr.T + b_hr), and z in the same way.",
        ),
    ),
    Exercise(
        "gru_candidate",
        minutes=15,
        hints=(
            "What exactly does r multiply? Read the brackets of the equation.",
            "r multiplies W_hn h + b_hn, after the product and with its bias. z multiplies the old "
            "state h, and 1 - z the candidate.",
            "n = torch.tanh(x @ w_in.T + b_in + r * (h @ w_hn.T + b_hn)), and "
            "h_next = (1 - z) * n + z * h.",
        ),
    ),
    Exercise(
        "lstm_gates",
        minutes=10,
        hints=(
            "Which of the four values can be negative, and which are shares between 0 and 1?",
            "i, f and o are gates: sigmoid. g is the candidate: tanh. Each has its own weights.",
            "i = torch.sigmoid(affine(x, h, input_weights)), f and o in the same way, and "
            "g = torch.tanh(affine(x, h, candidate_weights)).",
        ),
    ),
    Exercise(
        "lstm_memory",
        minutes=10,
        hints=(
            "Compute c' first, because h' is computed from it.",
            "c' is a sum of two products. h' needs tanh, c' does not.",
            "c_next = f * c + i * g, and h_next = o * torch.tanh(c_next).",
        ),
    ),
    Exercise(
        "lstm_step",
        minutes=15,
        hints=(
            "Compute in the order of the equations: the pre-activations, the gates, c', h'.",
            "a has 4H columns; chunk splits it. c' is a sum of two products: one keeps a part of "
            "c, the other adds a part of g.",
            "a_i, a_f, a_g, a_o = a.chunk(4, dim=-1), c_next = f * c + i * g, and "
            "h_next = o * torch.tanh(c_next).",
        ),
    ),
    Exercise(
        "gate_order",
        minutes=10,
        hints=(
            "Name the parts first, in the order in which they are in the given weight.",
            "The rows come as f, i, o, g and must leave as i, f, g, o. For the GRU: z, r, n and "
            "r, z, n.",
            "f, i, o, g = weight.chunk(4), then torch.cat([i, f, g, o]).",
        ),
    ),
    Exercise(
        "two_biases",
        minutes=15,
        hints=(
            "In which gates of the GRU is b_ih added directly to b_hh?",
            "In r and z both biases are terms of one sum, so they can be added. In n, r multiplies "
            "b_hn, so it must stay in b_hh.",
            "b_ih becomes b_ir + b_hr, b_iz + b_hz, b_in; b_hh becomes zeros, zeros, b_hn.",
        ),
    ),
    Exercise(
        "lstm_cell",
        minutes=20,
        timeout=30.0,
        hints=(
            "Use the two nn.Linear: one for x, one for h. Each adds its own bias.",
            "Chunk the sum of both into four parts, in torch.nn's order i, f, g, o. c' is a sum of "
            "two products, and h' is o times tanh(c').",
            "i, f, g, o = (self.input_to_hidden(x) + self.hidden_to_hidden(h)).chunk(4, dim=-1), "
            "then the activations, then c_next and h_next as in lstm_memory.",
        ),
    ),
)
