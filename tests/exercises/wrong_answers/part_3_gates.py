"""Wrong answers to the exercises of part 3."""

from tests.exercises.wrong_answers import Wrong

WRONG = {
    "gru_gates": [
        Wrong("r = torch.sigmoid(", "r = torch.tanh(", mistake="r = tanh("),
        Wrong("h @ w_hz.T + b_hz", "h @ w_hr.T + b_hz"),
        Wrong("x @ w_ir.T + b_ir + h @ w_hr.T + b_hr", "x @ w_ir.T + h @ w_hr.T + b_hr"),
        Wrong("h @ w_hz.T + b_hz", "h @ w_hz + b_hz"),
        Wrong("return r, z", "return z, r"),
    ],
    "gru_candidate": [
        Wrong("r * (h @ w_hn.T + b_hn)", "(r * h) @ w_hn.T + b_hn"),
        Wrong("r * (h @ w_hn.T + b_hn)", "r * (h @ w_hn.T) + b_hn"),
        Wrong("r * (h @ w_hn.T + b_hn)", "h @ w_hn.T + b_hn", mistake="r ⊙"),
        Wrong("x @ w_in.T + b_in + recurrent", "r * (x @ w_in.T + b_in) + recurrent"),
        Wrong("(1 - z) * n + z * h", "z * n + (1 - z) * h"),
        Wrong("torch.tanh(", "torch.sigmoid("),
        Wrong("(1 - z) * n + z * h", "(1 - z) * n + z"),
    ],
    "lstm_gates": [
        Wrong("g = torch.tanh(", "g = torch.sigmoid("),
        Wrong("i = torch.sigmoid(", "i = torch.tanh("),
        Wrong("affine(x, h, forget_weights)", "affine(x, h, input_weights)"),
        Wrong("torch.sigmoid(affine(x, h, output_weights))", "affine(x, h, output_weights)"),
        Wrong("return i, f, g, o", "return i, f, o, g"),
    ],
    "lstm_memory": [
        Wrong("f * c + i * g", "i * c + f * g"),
        Wrong("f * c + i * g", "f * c + g"),
        Wrong("c_next = f * c + i * g", "c_next = torch.tanh(f * c + i * g)"),
        Wrong("o * torch.tanh(c_next)", "o * torch.tanh(c)"),
        Wrong("o * torch.tanh(c_next)", "o * c_next"),
        Wrong("o * torch.tanh(c_next)", "torch.tanh(o * c_next)"),
        Wrong("return h_next, c_next", "return c_next, h_next"),
    ],
    "lstm_step": [
        Wrong("a_i, a_f, a_g, a_o = a.chunk", "a_i, a_f, a_o, a_g = a.chunk"),
        Wrong("a.chunk(4, dim=-1)", "a.view(len(a), -1, 4).unbind(-1)"),
        Wrong("torch.tanh(a_g)", "torch.sigmoid(a_g)"),
        Wrong("f * c + i * g", "f * c + i + g"),
        Wrong("torch.tanh(c_next)", "torch.tanh(c)"),
        Wrong("return h_next, c_next", "return c_next, h_next"),
        Wrong("i = torch.sigmoid(a_i)", "i = a_i"),
        Wrong("h @ w_hh.T", "c @ w_hh.T"),
    ],
    "gate_order": [
        Wrong("torch.cat([i, f, g, o])", "torch.cat([f, i, g, o])"),
        Wrong("torch.cat([i, f, g, o])", "torch.cat([i, f, o, g])"),
        Wrong("torch.cat([r, z, n])", "torch.cat([z, r, n])"),
        Wrong("z, r, n = weight", "r, z, n = weight"),
        Wrong("weight.chunk(4)", "weight.chunk(4, dim=-1)"),
    ],
    "two_biases": [
        Wrong("b_ir + b_hr, b_iz + b_hz, b_in]", "b_ir + b_hr, b_iz + b_hz, b_in + b_hn]"),
        Wrong("[zero, zero, b_hn]", "[zero, zero, zero]"),
        Wrong("[zero, zero, b_hn]", "[b_hr, b_hz, b_hn]"),
        Wrong("[b_ir + b_hr, b_iz + b_hz, b_in]", "[b_ir, b_iz, b_in]"),
        Wrong("b_hr, b_hz, b_hn = b_hh", "b_hz, b_hr, b_hn = b_hh"),
    ],
    "lstm_cell": [
        Wrong("f * c + i * g", "i * c + f * g", mistake="swapped-input-forget"),
        Wrong("o * torch.tanh(c_next)", "o * torch.tanh(c)", mistake="output-from-old-cell"),
        Wrong("g = torch.tanh(a_g)", "g = torch.sigmoid(a_g)", mistake="sigmoid-candidate"),
        Wrong("a_i, a_f, a_g, a_o = a", "a_i, a_f, a_o, a_g = a", mistake="gate-order"),
        Wrong("h_next = o * torch.tanh(c_next)", "h_next = o * c_next"),
    ],
}
