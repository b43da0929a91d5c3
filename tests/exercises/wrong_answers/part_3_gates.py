"""Wrong answers to the exercises of part 3."""

from tests.exercises.wrong_answers import Wrong

WRONG = {
    "lstm_step": [
        Wrong("a_i, a_f, a_g, a_o = a.chunk", "a_i, a_f, a_o, a_g = a.chunk"),
        Wrong("torch.tanh(a_g)", "torch.sigmoid(a_g)"),
        Wrong("f * c + i * g", "f * c + i + g"),
        Wrong("torch.tanh(c_next)", "torch.tanh(c)"),
        Wrong("return h_next, c_next", "return c_next, h_next"),
        Wrong("i = torch.sigmoid(a_i)", "i = a_i"),
    ],
}
