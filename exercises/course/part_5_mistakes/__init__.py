"""Part 5: ten layers that train and are wrong."""

from exercises.exercise import Exercise

EXERCISES = (
    Exercise(
        "hunt_1_lstm",
        minutes=5,
        hints=(
            "c_n agrees for a single step, h does not. So the mistake is between c' and h'.",
            "It is in the statement that computes h'. What keeps h' between -1 and 1?",
            "h = o * torch.tanh(c)",
        ),
    ),
    Exercise(
        "hunt_2_gru",
        minutes=5,
        hints=(
            "The gates and the candidate are right. It is the last equation.",
            "In torch.nn, z = 1 keeps the old state. What does z = 1 do here?",
            "h = (1 - z) * n + z * h",
        ),
    ),
    Exercise(
        "hunt_3_lstm",
        minutes=5,
        hints=(
            "Already c' of the first step is wrong, and all gates are right.",
            "What does the forget gate multiply: only the old memory, or also the new part?",
            "c = f * c + i * g",
        ),
    ),
    Exercise(
        "hunt_4_rnn",
        minutes=5,
        hints=(
            "The first time step is wrong already. From which state does it start?",
            "The argument h is not used: the loop starts from zeros.",
            "Delete the statement that sets h to zeros: h is the state that the caller passes.",
        ),
    ),
    Exercise(
        "hunt_5_gru",
        minutes=10,
        hints=(
            "Both gates are right, the candidate is not.",
            "r must multiply the product W_hn h + b_hn. What does it multiply here?",
            "s = r * (h @ w_hn.T + b_hn)",
        ),
    ),
    Exercise(
        "hunt_6_lstm",
        minutes=5,
        hints=(
            "i and f are right, g and o are not.",
            "The four quarters of a have names. Compare their order with torch.nn's.",
            "a_i, a_f, a_g, a_o = a.chunk(4, dim=-1)",
        ),
    ),
    Exercise(
        "hunt_7_directions",
        minutes=10,
        hints=(
            "h_n is right. Of each output, one half is right and one is not.",
            "The reverse layer returns its states in the order in which it reads: x_T first.",
            "reverse = backwards.flip(0)",
        ),
    ),
    Exercise(
        "hunt_8_batch_first",
        minutes=10,
        hints=(
            "h_n is right, so the loop over time is. What happens to the outputs after it?",
            "reshape keeps the order of the elements in memory, so it does not exchange axes.",
            "outputs = steps.transpose(0, 1)",
        ),
    ),
    Exercise(
        "hunt_9_lengths",
        minutes=10,
        hints=(
            "The longest sequence is right. For the others, count the steps that change the state.",
            "Which steps does a sequence of length 1 have? For which t is it active here?",
            "is_active = (t < lengths)[:, None]",
        ),
    ),
    Exercise(
        "hunt_10_gradients",
        minutes=10,
        hints=(
            "Every value is right, so look for something that changes only the gradient.",
            "detach() keeps the value and cuts the gradient. The memory must pass it on.",
            "c = f * c + i * g",
        ),
    ),
)
