# ruff: noqa: E501
"""Wrong cells: a right one of ``right/`` with one typical mistake of a learner.

Each is (id, style, changes); a change is (right text, wrong text), and replaces every occurrence.
"""

Changes = tuple[tuple[str, str], ...]

WRONG_LINES: list[tuple[str, str, Changes]] = []


def wrong(mistake: str, style: str, *changes: tuple[str, str]) -> None:
    WRONG_LINES.append((mistake, style, changes))


# --- LSTM: rows and biases
wrong("gate-order", "lstm_stacked_linear", ("i, f, g, o = gates", "i, f, o, g = gates"))
wrong(
    "gate-order",
    "lstm_torch_names",
    ("ingate, forgetgate, cellgate, outgate =", "ingate, cellgate, forgetgate, outgate ="),
)
wrong("gate-order", "lstm_one_weight_stacked_transposed", ("i, f, j, o =", "i, j, f, o ="))
wrong("gate-order", "lstm_state_list_no_bias", ("i, f, g, o = z", "i, o, f, g = z"))
wrong(
    "gate-order",
    "lstm_three_d_einsum",
    ("a[3].sigmoid()", "a[2].sigmoid()"),
    ("g = a[2]", "g = a[3]"),
)
wrong("gate-order", "lstm_subclass", ("i, f, g, o =", "f, i, o, g ="))
wrong(
    "reshape-not-chunk",
    "lstm_stacked_linear",
    ("gates.chunk(4, dim=1)", "gates.view(x.size(0), -1, 4).unbind(-1)"),
)
wrong(
    "reshape-not-chunk",
    "lstm_subclass",
    ("a.chunk(4, 1)", "a.reshape(-1, self.hidden_size, 4).unbind(2)"),
)
wrong(
    "reshape-not-chunk",
    "lstm_joined_h_first_layer",
    ("z.chunk(4, dim=-1)", "(z[:, k::4] for k in range(4))"),
)
wrong("missing-bias", "lstm_torch_names", ("F.linear(h, w_hh, b_hh)", "F.linear(h, w_hh)"))
wrong("missing-bias", "lstm_stacked_linear", ("self.x2h(x)", "x @ self.x2h.weight.T"))
wrong(
    "missing-bias",
    "lstm_loose_right_multiplied",
    (" + self.b_i)", ")"),
    (" + self.b_f)", ")"),
    (" + self.b_c)", ")"),
    (" + self.b_o)", ")"),
)
wrong(
    "double-bias", "lstm_torch_names", ("F.linear(h, w_hh, b_hh)", "F.linear(h, w_hh, b_hh) + b_hh")
)
wrong(
    "double-bias",
    "lstm_three_d_einsum",
    ("a = a + self.bias[:, None]", "a = a + 2 * self.bias[:, None]"),
)
wrong("double-bias", "lstm_loose_right_multiplied", ("+ self.b_", "+ self.b_i * 0 + 2 * self.b_"))
wrong(
    "wrong-gate-bias", "lstm_loose_right_multiplied", ("self.V_f + self.b_f", "self.V_f + self.b_i")
)
wrong(
    "wrong-gate-bias",
    "lstm_parameter_dict_h_in_front",
    ("i, f, o = (", "a['o'] = a['o'] - self.p['bo'] + self.p['bf']\n        i, f, o = ("),
)
wrong(
    "wrong-gate-bias",
    "lstm_torch_names",
    (
        "gates = F",
        "n = self.hidden_size\n        b_hh = torch.cat([b_hh[:n], b_hh[:n], b_hh[2 * n :]])\n        gates = F",
    ),
)
wrong("forget-bias-added", "lstm_stacked_linear", ("torch.sigmoid(f)", "torch.sigmoid(f + 1.0)"))
wrong(
    "forget-bias-added",
    "lstm_loose_right_multiplied",
    ("self.V_f + self.b_f", "self.V_f + self.b_f + 1"),
)
wrong(
    "forget-bias-added",
    "lstm_one_weight_stacked_transposed",
    ("torch.sigmoid(f)", "torch.sigmoid(f + 1.0)"),
)
# --- LSTM: activations
wrong("hard-sigmoid", "lstm_gate_linears_joined", ("torch.sigmoid(", "nn.functional.hardsigmoid("))
wrong(
    "hard-sigmoid",
    "lstm_torch_names",
    ("torch.sigmoid(ingate)", "(0.2 * ingate + 0.5).clamp(0, 1)"),
    ("torch.sigmoid(forgetgate)", "(0.2 * forgetgate + 0.5).clamp(0, 1)"),
    ("torch.sigmoid(outgate)", "(0.2 * outgate + 0.5).clamp(0, 1)"),
)
wrong("sigmoid-candidate", "lstm_stacked_linear", ("g = torch.tanh(g)", "g = torch.sigmoid(g)"))
wrong(
    "sigmoid-candidate",
    "lstm_module_dict",
    ('torch.tanh(self.gate("candidate"', 'torch.sigmoid(self.gate("candidate"'),
)
wrong(
    "sigmoid-candidate", "lstm_loose_right_multiplied", ("g_t = torch.tanh", "g_t = torch.sigmoid")
)
wrong("relu-candidate", "lstm_three_d_einsum", ("g = a[2].tanh()", "g = a[2].relu()"))
wrong(
    "relu-candidate", "lstm_gate_linears_joined", ("c_tilde = torch.tanh", "c_tilde = torch.relu")
)
# --- LSTM: the update
wrong("added-not-multiplied", "lstm_stacked_linear", ("i * g", "(i + g)"))
wrong("added-not-multiplied", "lstm_loose_right_multiplied", ("i_t * g_t", "i_t + g_t"))
wrong("swapped-input-forget", "lstm_stacked_linear", ("f * c + i * g", "i * c + f * g"))
wrong(
    "swapped-input-forget",
    "lstm_one_weight_stacked_transposed",
    ("torch.sigmoid(f) * c + torch.sigmoid(i)", "torch.sigmoid(i) * c + torch.sigmoid(f)"),
)
wrong("swapped-input-forget", "lstm_three_d_einsum", ("f * c + i * g", "i * c + f * g"))
wrong("coupled-gates", "lstm_gate_linears_joined", ("i * c_tilde", "(1 - f) * c_tilde"))
wrong("coupled-gates", "lstm_torch_names", ("(ingate * cellgate)", "((1 - forgetgate) * cellgate)"))
wrong(
    "coupled-gates",
    "lstm_state_list_no_bias",
    ("+ torch.sigmoid(i) *", "+ (1 - torch.sigmoid(f)) *"),
)
wrong(
    "peepholes",
    "lstm_stacked_linear",
    (
        "        self.h2h =",
        "        self.p_i = nn.Parameter(torch.zeros(hidden_size))\n        self.p_f = nn.Parameter(torch.zeros(hidden_size))\n        self.p_o = nn.Parameter(torch.zeros(hidden_size))\n        self.h2h =",
    ),
    ("torch.sigmoid(i)", "torch.sigmoid(i + self.p_i * c)"),
    ("torch.sigmoid(f)", "torch.sigmoid(f + self.p_f * c)"),
    ("        o = torch.sigmoid(o)\n", ""),
    ("h_next = o *", "h_next = torch.sigmoid(o + self.p_o * c_next) *"),
)
wrong(
    "peepholes",
    "lstm_loose_right_multiplied",
    (
        "        for weight in",
        "        self.P_i = nn.Parameter(torch.empty(hidden_sz))\n        self.P_f = nn.Parameter(torch.empty(hidden_sz))\n        self.P_o = nn.Parameter(torch.empty(hidden_sz))\n        for weight in",
    ),
    ("+ self.b_i)", "+ self.b_i + self.P_i * c_t)"),
    ("+ self.b_f)", "+ self.b_f + self.P_f * c_t)"),
    ("+ self.b_o)", "+ self.b_o + self.P_o * c_t)"),
)
wrong(
    "peepholes",
    "lstm_gate_linears_joined",
    (
        "        self.forget_gate =",
        "        self.peep_f = nn.Linear(hidden_size, hidden_size, bias=False)\n        self.peep_i = nn.Linear(hidden_size, hidden_size, bias=False)\n        self.peep_o = nn.Linear(hidden_size, hidden_size, bias=False)\n        self.forget_gate =",
    ),
    ("self.forget_gate(combined)", "self.forget_gate(combined) + self.peep_f(c)"),
    ("self.input_gate(combined)", "self.input_gate(combined) + self.peep_i(c)"),
    ("self.output_gate(combined)", "self.output_gate(combined) + self.peep_o(c)"),
)
wrong(
    "tanh-stored-cell",
    "lstm_stacked_linear",
    ("c_next = f * c + i * g", "c_next = torch.tanh(f * c + i * g)"),
)
wrong(
    "tanh-stored-cell",
    "lstm_loose_right_multiplied",
    (
        "            h_t = o_t * torch.tanh(c_t)",
        "            c_t = torch.tanh(c_t)\n            h_t = o_t * c_t",
    ),
)
wrong("missing-output-tanh", "lstm_stacked_linear", ("o * torch.tanh(c_next)", "o * c_next"))
wrong("missing-output-tanh", "lstm_nested_gates", ("o * torch.tanh(c)", "o * c"))
wrong(
    "tanh-after-output-gate",
    "lstm_torch_names",
    ("outgate * torch.tanh(cy)", "torch.tanh(outgate * cy)"),
)
wrong(
    "tanh-after-output-gate",
    "lstm_module_dict",
    ("expose * torch.tanh(c)", "torch.tanh(expose * c)"),
)
wrong(
    "output-from-old-cell", "lstm_stacked_linear", ("o * torch.tanh(c_next)", "o * torch.tanh(c)")
)
wrong(
    "output-from-old-cell",
    "lstm_three_d_einsum",
    (
        "            c = f * c + i * g\n            h = o * c.tanh()",
        "            h = o * c.tanh()\n            c = f * c + i * g",
    ),
)
wrong("state-order", "lstm_stacked_linear", ("return h_next, c_next", "return c_next, h_next"))
wrong("state-order", "lstm_torch_names", ("h, c = state", "c, h = state"))
wrong(
    "state-order",
    "lstm_joined_h_first_layer",
    ("            h, c = state", "            c, h = state"),
    ("dim=1), (h, c)", "dim=1), (c, h)"),
)
wrong(
    "cell-not-carried",
    "lstm_joined_h_first_layer",
    (
        "        for t in range(steps):\n",
        "        for t in range(steps):\n            c = torch.zeros_like(c)\n",
    ),
)
wrong(
    "cell-not-carried",
    "lstm_stacked_linear",
    ("h, c = state", "h, c = state[0], torch.zeros_like(state[1])"),
)
wrong(
    "hidden-not-carried",
    "lstm_joined_h_first_layer",
    (
        "        for t in range(steps):\n",
        "        for t in range(steps):\n            h = torch.zeros_like(h)\n",
    ),
)
wrong(
    "hidden-not-carried",
    "lstm_gate_linears_joined",
    ("torch.cat((x, h), dim=1)", "torch.cat((x, torch.zeros_like(h)), dim=1)"),
)
# --- GRU
wrong(
    "gate-order",
    "gru_stacked_linear",
    ("xr, xz, xn =", "xz, xr, xn ="),
    ("hr, hz, hn =", "hz, hr, hn ="),
)
wrong(
    "gate-order",
    "gru_torch_names_layer",
    ("a_r, a_z, a_n =", "a_n, a_r, a_z ="),
    ("b_r, b_z, b_n =", "b_n, b_r, b_z ="),
)
wrong(
    "reset-before-matmul",
    "gru_loose_layer",
    ("R * (H @ self.W_hn + self.b_hn)", "((R * H) @ self.W_hn + self.b_hn)"),
)
wrong("reset-before-matmul", "gru_fused_rz", ("r * self.n_h(h)", "self.n_h(r * h)"))
wrong(
    "reset-outside-bias",
    "gru_stacked_linear",
    ("r * hn", "r * (hn - self.h2h.bias.chunk(3)[2]) + self.h2h.bias.chunk(3)[2]"),
)
wrong(
    "reset-outside-bias",
    "gru_loose_layer",
    ("R * (H @ self.W_hn + self.b_hn)", "R * (H @ self.W_hn) + self.b_hn"),
)
wrong("reset-over-everything", "gru_stacked_linear", ("xn + r * hn", "r * (xn + hn)"))
wrong(
    "reset-over-everything",
    "gru_fused_rz",
    ("self.n_x(x) + r * self.n_h(h)", "r * (self.n_x(x) + self.n_h(h))"),
)
wrong("no-reset", "gru_stacked_linear", ("xn + r * hn", "xn + hn"))
wrong("no-reset", "gru_torch_names_layer", ("a_n + r * b_n", "a_n + b_n"))
wrong("swapped-update", "gru_stacked_linear", ("(1 - z) * n + z * h", "z * n + (1 - z) * h"))
wrong("swapped-update", "gru_loose_layer", ("Z * H + (1 - Z) * N", "(1 - Z) * H + Z * N"))
wrong("swapped-update", "gru_fused_rz", ("n + z * (h - n)", "h + z * (n - h)"))
# --- RNN
wrong("untransposed-recurrent", "rnn_joined_loose", ("h @ self.Wh.T", "h @ self.Wh"))
wrong(
    "untransposed-recurrent",
    "rnn_linear_pair",
    ("self.h2h(hidden)", "hidden @ self.h2h.weight + self.h2h.bias"),
)
wrong("wrong-nonlinearity", "rnn_linear_pair", ("torch.tanh", "torch.sigmoid"))
wrong("wrong-nonlinearity", "rnn_concat_linear", ("torch.tanh", "torch.relu"))
wrong("missing-bias", "rnn_joined_loose", (" + self.bx", ""))
wrong("double-bias", "rnn_linear_pair", ("torch.tanh(", "torch.tanh(self.h2h.bias + "))
wrong("double-bias", "rnn_stack", ("+ self.b[k]", "+ self.b[k] + self.b[k]"))
wrong("hidden-not-carried", "rnn_concat_linear", ("(input, hidden)", "(input, 0 * hidden)"))
# --- layers
wrong(
    "batch-time-mixup",
    "lstm_subclass",
    ("x.size(1)", "x.size(0)"),
    ("x[:, t]", "x[t]"),
    ("x.new_zeros(1, x.size(0)", "x.new_zeros(1, x.size(1)"),
    ("torch.stack(out, 1)", "torch.stack(out, 0)"),
)
wrong(
    "batch-time-mixup",
    "lstm_stacked_layers",
    ("        if self.batch_first:\n            x = x.transpose(0, 1)\n", ""),
    ("        if self.batch_first:\n            out = out.transpose(0, 1)\n", ""),
)
wrong(
    "batch-time-mixup",
    "lstm_joined_h_first_layer",
    ("range(steps)", "range(batch)"),
    ("x[:, t]", "x[t]"),
)
wrong(
    "view-not-transpose",
    "lstm_stacked_layers",
    ("x = x.transpose(0, 1)", "x = x.view(x.size(1), x.size(0), -1)"),
)
wrong(
    "view-not-transpose",
    "lstm_loose_right_multiplied",
    ("hidden_seq.transpose(0, 1).contiguous()", "hidden_seq.view(bs, seq_sz, -1)"),
)
wrong("reverse-not-flipped", "lstm_stacked_layers", ("hs = hs[::-1]", "hs = list(hs)"))
wrong("reverse-not-flipped", "rnn_stack", ("y = y.flip(0) if d else y\n", "y = y + 0\n"))
wrong(
    "separate-direction-stacks",
    "lstm_stacked_layers",
    ("hidden_size * self.directions", "hidden_size"),
    (
        "below, outs = out, []",
        "below, outs = out, []\n            below = below if layer == 0 else out.chunk(self.directions, -1)",
    ),
    ("(below, h0[k]", "(below[d] if layer else below, h0[k]"),
)
wrong(
    "separate-direction-stacks",
    "rnn_stack",
    ("self.d * hidden_size", "hidden_size"),
    (
        "ordered = source.flip(0) if d else source",
        "mine = source if layer == 0 else source.chunk(self.d, -1)[d]\n                ordered = mine.flip(0) if d else mine",
    ),
)
wrong(
    "state-layout",
    "lstm_stacked_layers",
    (
        "self.cells[k](below, h0[k], c0[k])",
        "self.cells[k](below, h0[d * self.num_layers + layer], c0[d * self.num_layers + layer])",
    ),
    (
        "(torch.stack(hn), torch.stack(cn))",
        "tuple(torch.stack([s[n * self.directions + d] for d in range(self.directions) for n in range(self.num_layers)]) for s in (hn, cn))",
    ),
)
wrong("state-layout", "rnn_stack", ("last[k] = h", "last[d * self.n + layer] = h"))
wrong("shared-initial-state", "lstm_stacked_layers", ("h0[k], c0[k]", "h0[d], c0[d]"))
wrong("shared-initial-state", "gru_torch_names_layer", ("h0[k], []", "h0[0], []"))
wrong(
    "first-layer-input",
    "rnn_stack",
    ("h, ys = h0[k], []", "h, ys = h0[k], []\n                source = x"),
)
wrong("first-layer-input", "lstm_stacked_layers", ("below, outs = out, []", "below, outs = x, []"))
wrong(
    "dropout-on-last-layer",
    "lstm_stacked_layers",
    (
        "            if layer < self.num_layers - 1:\n                out = self.drop(out)",
        "            out = self.drop(out)",
    ),
)
wrong(
    "dropout-on-last-layer",
    "rnn_stack",
    (
        "ys.append(h)",
        "h = nn.functional.dropout(h, self.dropout, self.training)\n                    ys.append(h)",
    ),
)
wrong(
    "detached-state",
    "lstm_joined_h_first_layer",
    (
        "            z = self.lin",
        "            h, c = h.detach(), c.detach()\n            z = self.lin",
    ),
)
wrong(
    "detached-state",
    "rnn_concat_linear",
    (
        "def forward(self, input, hidden):\n",
        "def forward(self, input, hidden):\n        hidden = hidden.detach()\n",
    ),
)
wrong(
    "detached-state",
    "gru_loose_layer",
    ("outputs.append(H)", "outputs.append(H)\n            H = H.detach()"),
)
wrong(
    "state-not-used",
    "lstm_joined_h_first_layer",
    ("if state is None:", "if True:"),
    ("        else:\n            h, c = state\n", ""),
)
wrong("state-not-used", "gru_loose_layer", ("if H is None:", "if True:"))
wrong("state-not-used", "rnn_stack", ("if h0 is None:", "if True:"))
