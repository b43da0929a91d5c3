# ruff: noqa: E501
"""Wrong cells outside the catalogue: the verdict is "different", without a known mistake."""

OUTSIDE_LINES: list[tuple[str, str, tuple[tuple[str, str], ...]]] = []


def wrong(style: str, *changes: tuple[str, str]) -> None:
    OUTSIDE_LINES.append(("outside", style, changes))


wrong("lstm_stacked_linear", ("f * c + i * g", "f * c - i * g"))
wrong("lstm_loose_right_multiplied", ("f_t = torch.sigmoid", "f_t = torch.tanh"))
wrong(
    "lstm_gate_linears_joined",
    ("c = f * c + i * c_tilde", "c = (f * c + i * c_tilde).clamp(-1, 1)"),
)
wrong(
    "lstm_torch_names", ("hy = outgate * torch.tanh(cy)", "hy = outgate * torch.tanh(cy) + 0.1 * h")
)
wrong(
    "lstm_stacked_linear",
    ("self.h2h =", "self.norm = nn.LayerNorm(4 * hidden_size)\n        self.h2h ="),
    ("gates = self.x2h(x) + self.h2h(h)", "gates = self.norm(self.x2h(x) + self.h2h(h))"),
)
wrong(
    "lstm_stacked_linear",
    ("self.h2h =", "self.norm = nn.LayerNorm(hidden_size)\n        self.h2h ="),
    ("torch.tanh(c_next)", "torch.tanh(self.norm(c_next))"),
)
# three known mistakes at once: the search tries at most two
wrong(
    "lstm_stacked_linear",
    ("g = torch.tanh(g)", "g = torch.relu(g)"),
    ("o * torch.tanh(c_next)", "o * c_next"),
    ("torch.sigmoid(f)", "torch.sigmoid(f + 1)"),
    ("i, f, g, o = gates", "i, f, o, g = gates"),
)
wrong("gru_stacked_linear", ("(1 - z) * n + z * h", "(1 - z) * n + h"))
wrong(
    "gru_loose_layer",
    (
        "R = torch.sigmoid(X @ self.W_xr + H @ self.W_hr + self.b_r)",
        "R = torch.sigmoid(X @ self.W_xr + 0.5 * (H @ self.W_hr) + self.b_r)",
    ),
)
wrong("gru_fused_rz", ("self.n_h(h)", "torch.tanh(self.n_h(h))"))
wrong(
    "rnn_linear_pair",
    ("torch.tanh(self.i2h(x) + self.h2h(hidden))", "torch.tanh(self.i2h(x)) + self.h2h(hidden)"),
)
wrong("rnn_concat_linear", ("return torch.tanh(", "return 0.5 * hidden + 0.5 * torch.tanh("))
# correct outputs except in one special case
wrong("lstm_stacked_linear", ("h, c = state\n", "h, c = state\n        c.mul_(1.0).add_(1e-3)\n"))
wrong(
    "rnn_joined_loose",
    (
        "h = x.new_zeros(x.size(0), self.bx.numel()) if h0 is None else h0",
        "h = x.new_ones(x.size(0), self.bx.numel()) if h0 is None else h0",
    ),
)
wrong(
    "gru_stacked_linear",
    (
        "return (1 - z) * n + z * h",
        "h = (1 - z) * n + z * h\n        return h * 1.5 if self.training else h",
    ),
)
wrong(
    "lstm_module_dict",
    (
        'keep = torch.sigmoid(self.gate("forget", x, h))',
        'keep = torch.sigmoid(self.gate("forget", x, h).detach())',
    ),
)
wrong("gru_stacked_linear", ("gx, gh =", "h = h if x.size(0) > 1 else 0.5 * h\n        gx, gh ="))
wrong(
    "rnn_stack",
    (
        "source = torch.cat(columns, -1)",
        "source = torch.cat(columns, -1) * (1.0 if layer == 0 else 0.9)",
    ),
)
wrong(
    "rnn_linear_pair",
    (
        "        hidden = torch.tanh(",
        "        self.calls = getattr(self, 'calls', 0) + 1\n        hidden = hidden * (1 + 1e-4 * (self.calls > 20))\n        hidden = torch.tanh(",
    ),
)
