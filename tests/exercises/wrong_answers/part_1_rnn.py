"""Wrong answers to the exercises of part 1."""

from tests.exercises.wrong_answers import Wrong

WRONG = {
    "shapes_of_a_layer": [
        Wrong("x = (time, batch, input_size)", "x = (batch, time, input_size)"),
        Wrong("w_ih = (gates * hidden_size, input_size)", "w_ih = (input_size, hidden_size)"),
        Wrong("bias = (gates * hidden_size,)", "bias = (hidden_size,)"),
        Wrong("bias = (gates * hidden_size,)", "bias = (gates * hidden_size)"),
        Wrong("h_n = (1, batch, hidden_size)", "h_n = (batch, hidden_size)"),
        Wrong("output = (time, batch, hidden_size)", "output = (time, batch, gates * hidden_size)"),
    ],
    "rnn_step": [
        Wrong("h @ w_hh.T + b_hh", "h @ w_hh + b_hh", mistake="W_hh h"),
        Wrong("x @ w_ih.T + b_ih + h @ w_hh.T + b_hh", "x @ w_ih.T + h @ w_hh.T + b_hh"),
        Wrong("x @ w_ih.T + b_ih", "x @ w_ih + b_ih", mistake="shapes"),
        Wrong("torch.tanh(a)", "torch.sigmoid(a)", mistake="σ(a)"),
        Wrong("return h_next", "return a"),
    ],
    "loop_over_time": [
        Wrong("rnn_step(x_t, h, ", "rnn_step(x_t, h_0, "),
        Wrong("h = h_0", "h = torch.zeros_like(h_0)"),
        Wrong("for x_t in x:", "for x_t in x[1:]:"),
        Wrong("for x_t in x:", "for x_t in x.transpose(0, 1):"),
        Wrong("torch.stack(outputs)", "torch.stack(outputs, dim=1)"),
        Wrong("return output, h ", "return output, outputs[0] "),
        Wrong("outputs.append(h)", "outputs.append(x_t)"),
    ],
    "sizes_that_differ": [
        Wrong("= 5, 3, 4, 2", "= 3, 3, 4, 2"),
        Wrong("= 5, 3, 4, 2", "= 5, 3, 4, 4"),
        Wrong("= 5, 3, 4, 2", "= 1, 3, 4, 2"),
        Wrong("torch.randn(batch, hidden_size)", "torch.zeros(batch, hidden_size)"),
        Wrong("torch.randn(time, batch, input_size)", "torch.ones(time, batch, input_size)"),
    ],
}
