"""Part 2: layers, directions, layouts, and sequences of different lengths."""

from exercises.exercise import Exercise

EXERCISES = (
    Exercise(
        "stacked_layers",
        minutes=10,
        hints=(
            "What does layer 1 read, and from which state does it start?",
            "The outputs of a layer are the input of the next one. Layer k starts from h_0[k].",
            "output, h = rnn_layer(output, h_0[k], *layer_weights), with output = x at the start.",
        ),
    ),
    Exercise(
        "both_directions",
        minutes=15,
        hints=(
            "The reverse direction reads x from the end. In which order are its outputs then?",
            "Flip along time twice: x before the reverse layer, its outputs after it. Its final "
            "state is the one after it has read step 0.",
            "read_backwards, h_reverse = rnn_layer(x.flip(0), h_0[1], *reverse_weights), and "
            "read_backwards.flip(0) goes next to the outputs of the forward direction.",
        ),
    ),
    Exercise(
        "batch_first",
        minutes=5,
        hints=(
            "Which of the tensors have a batch axis that moves: x, output, h_0, h_n?",
            "Only x and output have the batch first. The states are (1, B, H) in both layouts.",
            "x.transpose(0, 1) before rnn_layer, output.transpose(0, 1) after it, and h[None].",
        ),
    ),
    Exercise(
        "packed_sequences",
        minutes=20,
        hints=(
            "At time step t only the first batch_sizes[t] sequences are still running.",
            "A step takes the next rows of data and the first rows of h. The other rows of h "
            "belong to finished sequences and stay as they are.",
            "h_t = rnn_step(data[start : start + size], h[:size], *weights), then "
            "h = torch.cat([h_t, h[size:]]) and start = start + size.",
        ),
    ),
    Exercise(
        "final_state",
        minutes=10,
        hints=(
            "After which time step has each direction read the whole sequence?",
            "The forward direction has read everything at step length - 1, the reverse direction "
            "at step 0.",
            "output[lengths - 1, rows, :hidden_size] with rows = torch.arange(batch), and "
            "output[0, :, hidden_size:].",
        ),
    ),
)
