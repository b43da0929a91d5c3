# ruff: noqa: E501
"""Wrong cells in the styles of ``held_out/``, written after the verifier."""

HELD_OUT_LINES: list[tuple[str, str, tuple[tuple[str, str], ...]]] = []


def wrong(mistake: str, style: str, *changes: tuple[str, str]) -> None:
    HELD_OUT_LINES.append((mistake, style, changes))


wrong("gate-order", "lstm_named_tuple_state", ("i, f, g, o =", "o, i, f, g ="))
wrong("gate-order", "lstm_both_biases_in_one", ("i, f, g, o =", "i, g, f, o ="))
wrong(
    "gate-order",
    "gru_bilinear_functional",
    ("rz[..., :n], rz[..., n:]", "rz[..., n:], rz[..., :n]"),
)
wrong("gate-order", "gru_float32_zeros", ("r, z = self.gates", "z, r = self.gates"))
wrong(
    "reshape-not-chunk",
    "lstm_both_biases_in_one",
    (".chunk(4, -1)", ".unflatten(-1, (-1, 4)).unbind(-1)"),
)
wrong(
    "reshape-not-chunk",
    "lstm_lambda",
    (".chunk(4, -1)", ".reshape(x.shape[0], -1, 4).permute(2, 0, 1)"),
)
wrong("missing-bias", "lstm_both_biases_in_one", (" + self.b[1]", ""))
wrong("missing-bias", "gru_weight_norm_free_buffers", (") + self.d", ")"))
wrong("double-bias", "lstm_both_biases_in_one", ("self.b[1]", "self.b[0]"))
wrong(
    "double-bias",
    "lstm_named_tuple_state",
    ("self.u(state.hidden)", "self.u(state.hidden) + self.w.bias"),
)
wrong("wrong-gate-bias", "lstm_gate_biases", ("o + self.b_o", "o + self.b_g"))
wrong(
    "wrong-gate-bias",
    "lstm_tutorial_gates",
    ('getattr(self, f"b_i{k}")', 'getattr(self, "b_if" if k == "i" else f"b_i{k}")'),
)
wrong("forget-bias-added", "lstm_state_side_by_side", ("f.sigmoid()", "(f + 1).sigmoid()"))
wrong(
    "forget-bias-added",
    "lstm_gate_names_in_french",
    ("self.oubli(v).sigmoid()", "(self.oubli(v) + 1).sigmoid()"),
)
wrong("hard-sigmoid", "lstm_parameter_list", ("torch.sigmoid", "nn.functional.hardsigmoid"))
wrong("hard-sigmoid", "lstm_carry_first_scan", (".sigmoid()", ".mul(0.2).add(0.5).clamp(0, 1)"))
wrong("sigmoid-candidate", "lstm_parameter_list", ("torch.tanh(g)", "torch.sigmoid(g)"))
wrong(
    "sigmoid-candidate",
    "lstm_gate_names_in_french",
    ("self.nouveau(v).tanh()", "self.nouveau(v).sigmoid()"),
)
wrong("sigmoid-candidate", "gru_last_only", ("n = torch.tanh", "n = torch.sigmoid"))
wrong("relu-candidate", "lstm_conv1d", ("g.tanh()", "g.relu()"))
wrong("relu-candidate", "lstm_three_d_joined", ("torch.tanh(g)", "torch.relu(g)"))
wrong("added-not-multiplied", "lstm_stacked_input_gate_recurrent", ("i * g", "i + g"))
wrong("added-not-multiplied", "lstm_conv1d", ("i.sigmoid() * g.tanh()", "i.sigmoid() + g.tanh()"))
wrong(
    "swapped-input-forget",
    "lstm_lambda",
    (
        'f.sigmoid().mul(state["c"]).addcmul(i.sigmoid()',
        'i.sigmoid().mul(state["c"]).addcmul(f.sigmoid()',
    ),
)
wrong(
    "swapped-input-forget", "lstm_stacked_input_gate_recurrent", ("f * c + i * g", "i * c + f * g")
)
wrong(
    "coupled-gates",
    "lstm_gate_names_in_french",
    ("self.ecriture(v).sigmoid() *", "(1 - self.oubli(v).sigmoid()) *"),
)
wrong("coupled-gates", "lstm_tutorial_gates", ("i * g", "(1 - f) * g"))
wrong(
    "peepholes",
    "lstm_named_tuple_state",
    (
        "        self.u =",
        "        self.peep = nn.Parameter(torch.zeros(3, hidden_size))\n        self.u =",
    ),
    ("i.sigmoid()", "(i + self.peep[0] * state.memory).sigmoid()"),
    ("f.sigmoid()", "(f + self.peep[1] * state.memory).sigmoid()"),
    ("o.sigmoid()", "(o + self.peep[2] * memory).sigmoid()"),
)
wrong(
    "peepholes",
    "lstm_tutorial_gates",
    (
        "        bound =",
        "        self.v_i = nn.Parameter(torch.Tensor(hidden_dim))\n        self.v_f = nn.Parameter(torch.Tensor(hidden_dim))\n        self.v_o = nn.Parameter(torch.Tensor(hidden_dim))\n        bound =",
    ),
    ('self.gate("i", x[:, t], h)', 'self.gate("i", x[:, t], h) + self.v_i * c'),
    ('self.gate("f", x[:, t], h)', 'self.gate("f", x[:, t], h) + self.v_f * c'),
    ('self.gate("o", x[:, t], h)', 'self.gate("o", x[:, t], h) + self.v_o * c'),
)
wrong(
    "tanh-stored-cell",
    "lstm_state_side_by_side",
    (
        "c = c * f.sigmoid() + g.tanh() * i.sigmoid()",
        "c = (c * f.sigmoid() + g.tanh() * i.sigmoid()).tanh()",
    ),
)
wrong(
    "tanh-stored-cell",
    "lstm_cell_class_and_layer",
    ("return o * c.tanh(), c", "return o * c.tanh(), c.tanh()"),
)
wrong(
    "missing-output-tanh",
    "lstm_named_tuple_state",
    ("o.sigmoid() * memory.tanh()", "o.sigmoid() * memory"),
)
wrong(
    "missing-output-tanh",
    "lstm_bidirectional_wrapper",
    ("torch.sigmoid(o) * torch.tanh(c)", "torch.sigmoid(o) * c"),
)
wrong(
    "tanh-after-output-gate", "lstm_conv1d", ("o.sigmoid() * c.tanh()", "(o.sigmoid() * c).tanh()")
)
wrong(
    "output-from-old-cell",
    "lstm_parameter_list",
    (
        "        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)\n        h = torch.sigmoid(o) * torch.tanh(c)\n",
        "        h = torch.sigmoid(o) * torch.tanh(c)\n        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)\n",
    ),
)
wrong(
    "state-order",
    "lstm_tutorial_gates",
    ("h.unsqueeze(0), c.unsqueeze(0)", "c.unsqueeze(0), h.unsqueeze(0)"),
)
wrong(
    "state-order",
    "lstm_state_side_by_side",
    ("h, c = state", "c, h = state"),
    ("c.tanh() * o.sigmoid(), c]", "c, c.tanh() * o.sigmoid()]"),
)
wrong("cell-not-carried", "lstm_conv1d", ("c = f.sigmoid() * c +", "c = f.sigmoid() * 0 * c +"))
wrong("cell-not-carried", "lstm_cell_class_and_layer", ("(hs[k], cs[k]))", "(hs[k], 0 * cs[k]))"))
wrong("hidden-not-carried", "lstm_conv1d", ("self.recur(h)", "self.recur(0 * h)"))
wrong("hidden-not-carried", "rnn_returns_tuple_of_state", ("h.mm(self.W)", "(h * 0).mm(self.W)"))
wrong(
    "reset-before-matmul",
    "gru_d2l_scratch",
    ("R * torch.matmul(H, self.W_hh)", "torch.matmul(R * H, self.W_hh)"),
)
wrong("reset-before-matmul", "gru_last_only", ("r * self.un(h)", "self.un(r * h)"))
wrong(
    "reset-outside-bias",
    "gru_weight_norm_free_buffers",
    ("r * b[:, 2]", "r * (b[:, 2] - self.d[2]) + self.d[2]"),
)
wrong(
    "reset-outside-bias",
    "gru_bilinear_functional",
    ("r * b[..., 2 * n :]", 'r * (h @ w["wh"])[..., 2 * n :] + w["bh"][2 * n :]'),
)
wrong(
    "reset-over-everything",
    "gru_last_only",
    ("self.wn(x) + r * self.un(h)", "r * (self.wn(x) + self.un(h))"),
)
wrong(
    "reset-over-everything",
    "gru_float32_zeros",
    ("self.wx(x_t.float()) + r * self.wh(h)", "r * (self.wx(x_t.float()) + self.wh(h))"),
)
wrong("no-reset", "gru_d2l_scratch", ("R * torch", "torch"))
wrong("no-reset", "gru_sequential_gates", ("r * self", "self"))
wrong("swapped-update", "gru_last_only", ("torch.lerp(n, h, z)", "torch.lerp(h, n, z)"))
wrong(
    "swapped-update", "gru_d2l_scratch", ("Z * H + (1 - Z) * H_tilde", "(1 - Z) * H + Z * H_tilde")
)
wrong(
    "untransposed-recurrent",
    "rnn_output_layer_of_states",
    ("self.w_h(h_t)", "h_t @ self.w_h.weight + self.w_h.bias"),
)
wrong(
    "untransposed-recurrent",
    "lstm_tutorial_gates",
    (
        'nn.functional.linear(h, getattr(self, f"w_h{k}"), getattr(self, f"b_h{k}"))',
        'h @ getattr(self, f"w_h{k}") + getattr(self, f"b_h{k}")',
    ),
)
wrong("wrong-nonlinearity", "rnn_ones_column", ("torch.tanh", "torch.relu"))
wrong("wrong-nonlinearity", "rnn_returns_tuple_of_state", ("torch.tanh", "nn.functional.gelu"))
wrong("batch-time-mixup", "gru_last_only", ("sequence.unbind(1)", "sequence.unbind(0)"))
wrong(
    "view-not-transpose",
    "lstm_conv1d",
    (
        "self.project(x.transpose(1, 2)).transpose(1, 2)",
        "self.project(x.view(x.size(1), x.size(0), -1).transpose(1, 2)).transpose(1, 2).transpose(0, 1)",
    ),
)
wrong(
    "view-not-transpose",
    "lstm_tutorial_gates",
    ("torch.stack(seq, dim=1)", "torch.stack(seq).view(x.size(0), x.size(1), -1)"),
)
wrong(
    "reverse-not-flipped",
    "lstm_two_directions_named",
    ("torch.stack(back[::-1])", "torch.stack(back)"),
)
wrong(
    "reverse-not-flipped",
    "lstm_bidirectional_wrapper",
    ("torch.cat([y, r.flip(1)], -1)", "torch.cat([y, r], -1)"),
)
wrong(
    "separate-direction-stacks",
    "lstm_bidirectional_wrapper",
    ("[self.d * hidden_size]", "[hidden_size]"),
    ("        for k in range(self.n):\n", "        ys = [x, x]\n        for k in range(self.n):\n"),
    ("self.forwards[k](x,", "self.forwards[k](ys[0],"),
    ("self.backwards[k](x.flip(1)", "self.backwards[k](ys[1].flip(1)"),
    (
        "                y = torch.cat([y, r.flip(1)], -1)\n            x = y",
        "                ys = [y, r.flip(1)]\n            else:\n                ys = [y, y]\n            x = torch.cat(ys[: self.d], -1)",
    ),
)
wrong(
    "state-layout",
    "lstm_bidirectional_wrapper",
    (
        "(hn, cn)\n",
        "tuple(s.unflatten(0, (self.n, self.d)).transpose(0, 1).flatten(0, 1) for s in (hn, cn))\n",
    ),
)
wrong(
    "shared-initial-state",
    "lstm_cell_class_and_layer",
    (
        "list(hc[0].unbind(0)), list(hc[1].unbind(0))",
        "[hc[0][0]] * len(self.cells), [hc[1][0]] * len(self.cells)",
    ),
)
wrong(
    "shared-initial-state",
    "lstm_bidirectional_wrapper",
    ("h0, c0 = state", "h0, c0 = (s[:1].expand_as(s) for s in state)"),
)
wrong(
    "first-layer-input",
    "lstm_cell_class_and_layer",
    ("y = hs[k]\n", "y = hs[k] if k == len(self.cells) - 1 else x[:, step]\n"),
)
wrong(
    "first-layer-input",
    "lstm_list_of_states",
    ("states[k] = cell(x_t, states[k])", "states[k] = cell(x[len(ys)], states[k])"),
)
wrong(
    "dropout-on-last-layer",
    "lstm_cell_class_and_layer",
    ("out.append(y)", "out.append(self.drop(y))"),
)
wrong(
    "detached-state",
    "lstm_tutorial_gates",
    (
        "            seq.append(h)",
        "            seq.append(h)\n            h, c = h.detach(), c.detach()",
    ),
)
wrong(
    "detached-state",
    "lstm_named_tuple_state",
    ("self.u(state.hidden)", "self.u(state.hidden.detach())"),
    ("* state.memory", "* state.memory.detach()"),
)
wrong("state-not-used", "gru_d2l_scratch", ("if H is None:", "if True:"))
wrong("state-not-used", "lstm_tutorial_gates", ("if h0 is None:", "if True:"))
wrong(
    "hidden-not-carried",
    "gru_last_only",
    ("self.ur(h)", "self.ur(0 * h)"),
    ("self.uz(h)", "self.uz(0 * h)"),
    ("self.un(h)", "self.un(0 * h)"),
    ("torch.lerp(n, h, z)", "torch.lerp(n, 0 * h, z)"),
)
