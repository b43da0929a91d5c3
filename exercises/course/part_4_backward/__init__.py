"""Part 4: backpropagation through time, term by term."""

from exercises.exercise import Exercise

EXERCISES = (
    Exercise(
        "rnn_backward_step",
        minutes=20,
        hints=(
            "Start with da, the gradient that has passed through tanh. Everything else needs it.",
            "The derivative of tanh is 1 - h'². For each product of the forward pass, check the "
            "shapes: dx must be (B, I) and dW_hh (H, H).",
            "da = dh_next * (1 - h_next**2), dx = da @ w_ih, dh = da @ w_hh, dw_ih = da.T @ x, "
            "dw_hh = da.T @ h, db = da.sum(0).",
        ),
    ),
    Exercise(
        "rnn_backward_loop",
        minutes=20,
        hints=(
            "In which order do the steps come, and what does step t receive?",
            "From the last step to the first. h_t is used twice, as output t and by step t+1, so "
            "its gradient is a sum. The gradients of the weights are sums over all steps.",
            "for t in reversed(range(len(x))): dh_next = d_output[t] + dh, then "
            "rnn_backward_step, then dw_ih = dw_ih + dw_ih_t and so on.",
        ),
    ),
    Exercise(
        "lstm_backward_memory",
        minutes=20,
        hints=(
            "c' has an effect on two things: on h' of this step, and on the next step.",
            "dc_total is the received dc' plus the gradient that comes through h' = o ⊙ tanh(c'). "
            "The derivative of a product by one factor is the other factor.",
            "dc_total = dc_next + dh_next * o * (1 - torch.tanh(c_next) ** 2), di = dc_total * g, "
            "df = dc_total * c, dg = dc_total * i, dc = dc_total * f.",
        ),
    ),
    Exercise(
        "lstm_backward_gates",
        minutes=20,
        hints=(
            "First pass through the activations, then treat the four gates as one product.",
            "sigmoid: s (1 - s). tanh: 1 - t². s and t are the values after the activation.",
            "da_i = di * i * (1 - i), da_g = dg * (1 - g**2), and da = torch.cat([da_i, da_f, "
            "da_g, da_o], dim=-1). The rest is as in the RNN.",
        ),
    ),
    Exercise(
        "gru_backward_gates",
        minutes=25,
        hints=(
            "Work backwards through h' = (1 - z) ⊙ n + z ⊙ h, then through n, then through r.",
            "z has an effect through both products, so dz has two terms of different sign. dr "
            "comes from da_n and the recurrent part s = W_hn h + b_hn.",
            "dz = dh_next * (h - n), da_n = dh_next * (1 - z) * (1 - n**2), dr = da_n * s, "
            "da_s = da_n * r, and s (1 - s) for the two gates.",
        ),
    ),
    Exercise(
        "gru_backward_weights",
        minutes=20,
        hints=(
            "In n the input part and the recurrent part have different gradients: da_n and da_s.",
            "h reaches h' in two ways: through the gates and directly, by z ⊙ h.",
            "da_input = torch.cat([da_r, da_z, da_n], dim=-1), da_recurrent the same with da_s, "
            "and dh = da_recurrent @ w_hh + dh_next * z.",
        ),
    ),
    Exercise(
        "truncated_bptt",
        minutes=15,
        hints=(
            "At which point must no gradient pass, although the value must?",
            "The value of the state passes from chunk to chunk. detach() keeps the value and cuts "
            "the gradient; do it once a chunk.",
            "h = h.detach() as the first line in the loop, before rnn_layer.",
        ),
    ),
    Exercise(
        "gradient_clipping",
        minutes=10,
        hints=(
            "One norm for all gradients together, or one for each?",
            "The norm is the root of the sum of all squares. Gradients that are short already "
            "stay as they are.",
            "norm = torch.sqrt(sum((g**2).sum() for g in gradients)) and "
            "scale = torch.clamp(max_norm / norm, max=1.0).",
        ),
    ),
    Exercise(
        "vanishing_gradients",
        minutes=15,
        hints=(
            "Save every state: torch.autograd.grad returns the gradient for each tensor of a list.",
            "The first state of the list is h_0. The factor of one step is a root of the ratio of "
            "the first norm to the last.",
            "gradients = torch.autograd.grad(states[-1].sum(), states), norms = torch.stack("
            "[g.norm() for g in gradients]), factor = (norms[0] / norms[-1]) ** (1 / len(x)).",
        ),
    ),
)
