"""Wrong corrections in the exercises of part 5. The given mistake itself is not named."""

from tests.exercises.wrong_answers import Wrong

WRONG = {
    "hunt_1_lstm": [
        Wrong("o * torch.tanh(c)", "torch.tanh(o * c)"),
        Wrong("o * torch.tanh(c)", "o * torch.sigmoid(c)"),
        Wrong("c = f * c + i * g", "c = torch.tanh(f * c + i * g)"),
    ],
    "hunt_2_gru": [
        Wrong("(1 - z) * n + z * h", "(1 - z) * n + h"),
        Wrong("(1 - z) * n + z * h", "n + z * h"),
        Wrong("r * h_n", "r * (x_n + h_n)"),
    ],
    "hunt_3_lstm": [
        Wrong("f * c + i * g", "f * c + g"),
        Wrong("f * c + i * g", "f * c + (1 - f) * g"),
        Wrong("f * c + i * g", "i * c + f * g"),
    ],
    "hunt_4_rnn": [
        Wrong("h = h + 0", "h = torch.ones_like(h)"),
        Wrong("h = h + 0", "h = h[:1].expand_as(h)"),
        Wrong("torch.tanh(self.input_to_hidden(x_t)", "torch.sigmoid(self.input_to_hidden(x_t)"),
    ],
    "hunt_5_gru": [
        Wrong("r * (h @ w_hn.T + b_hn)", "r * (h @ w_hn.T) + b_hn"),
        Wrong("r * (h @ w_hn.T + b_hn)", "h @ w_hn.T + b_hn"),
        Wrong("r * (h @ w_hn.T + b_hn)", "r * (h @ w_hn + b_hn)"),
    ],
    "hunt_6_lstm": [
        Wrong("a_i, a_f, a_g, a_o = a.chunk", "a_f, a_i, a_g, a_o = a.chunk"),
        Wrong("a_i, a_f, a_g, a_o = a.chunk", "a_i, a_g, a_f, a_o = a.chunk"),
        Wrong("torch.sigmoid(a_i)", "torch.sigmoid(a_f)"),
    ],
    "hunt_7_directions": [
        Wrong("reverse = backwards.flip(0)", "reverse = backwards.flip(1)"),
        Wrong("x.flip(0), h_0[1:]", "x, h_0[1:]"),
        Wrong("torch.cat([h_forward, h_reverse])", "torch.cat([h_forward, reverse[-1:]])"),
    ],
    "hunt_8_batch_first": [
        Wrong("outputs = steps.transpose(0, 1)", "outputs = steps.reshape(x.shape[:2] + (-1,))"),
        Wrong("outputs = steps.transpose(0, 1)", "outputs = steps"),
        Wrong("time_first = x.transpose(0, 1)", "time_first = x.reshape(x.size(1), *x.shape[::2])"),
        Wrong("self.rnn(time_first, h_0)", "self.rnn(time_first)"),
    ],
    "hunt_9_lengths": [
        Wrong("(t < lengths)", "(t < lengths - 1)"),
        Wrong("torch.where(is_active, new, h)", "new"),
        Wrong("torch.where(is_active, new, h)", "torch.where(is_active, new, torch.zeros_like(h))"),
    ],
    "hunt_10_gradients": [
        Wrong("h = o * torch.tanh(c)", "h = o * torch.tanh(c.detach())"),
        Wrong("f * c + i * g", "(f * c).detach() + i * g"),
        Wrong("self.hidden_to_hidden(h)", "self.hidden_to_hidden(h.detach())"),
    ],
}
