"""Part 6: training, and tasks that need memory."""

from exercises.exercise import Exercise

EXERCISES = (
    Exercise(
        "forget_bias",
        minutes=10,
        hints=(
            "Which of the four quarters of the bias belongs to the forget gate?",
            "The order is i, f, g, o. Replace f; the others stay. With no input, f is the sigmoid "
            "of its bias, and c is multiplied by f at every step.",
            "i, f, g, o = bias.chunk(4), then torch.cat([i, torch.full_like(f, value), g, o]); "
            "torch.sigmoid(bias) ** steps.",
        ),
    ),
    Exercise(
        "orthogonal_weights",
        minutes=10,
        hints=(
            "One orthogonal matrix for all gates together, or one for each gate?",
            "Split the rows into G square blocks, and make each of them orthogonal.",
            "blocks = random.chunk(gates), q = torch.linalg.qr(block).Q for each, then torch.cat.",
        ),
    ),
    Exercise(
        "dropout_between_layers",
        minutes=10,
        hints=(
            "Which outputs are dropped: those of all layers, or not of all?",
            "Only what one layer hands to the next is dropped: not the outputs of the last layer, "
            "and never the state inside the loop over time.",
            "if k < len(weights) - 1: output = drop(output), after rnn_layer.",
        ),
    ),
    Exercise(
        "adding_problem",
        minutes=20,
        timeout=40.0,
        hints=(
            "The marker is 1 at two steps of each sequence. Which index selects them?",
            "first and second hold one time step for each sequence, so the pair (first, rows) "
            "selects one element of each column.",
            "markers[first, rows] = 1.0 and markers[second, rows] = 1.0; x = torch.stack([values, "
            "markers], dim=-1); target = (values * markers).sum(0).",
        ),
    ),
    Exercise(
        "copying_task",
        minutes=20,
        timeout=40.0,
        hints=(
            "Write down one sequence of tokens by hand, step by step, and its answer.",
            "Symbols, blanks, one cue, K - 1 blanks. Only the outputs of the last K steps count.",
            "torch.cat([symbols, delay, cue, rest]), each made with symbols.new_full; then "
            "logits[-len(symbols):] and symbols, both flattened over time and batch.",
        ),
    ),
    Exercise(
        "character_model",
        minutes=20,
        timeout=40.0,
        hints=(
            "What does the model read at step t, and what must it predict there?",
            "It reads every token but the last, and predicts every token but the first. Cross "
            "entropy needs one row for each prediction.",
            "inputs = tokens[:-1], targets = tokens[1:], F.cross_entropy(logits.flatten(0, 1), "
            "targets.flatten()), torch.softmax(logits / temperature, dim=-1).",
        ),
    ),
)
