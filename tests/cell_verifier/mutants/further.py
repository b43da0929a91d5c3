"""Further wrong lines: kinds of mistakes that ``mutate`` does not make, in styles of their own."""

from collections.abc import Iterator
from pathlib import Path

from tests.cell_verifier.cells.collection import HERE
from tests.cell_verifier.mutants.mutate import Mutant

FURTHER_STYLES: dict[str, Path] = {
    path.stem: path for path in sorted((HERE / "further").glob("*.py"))
}

FURTHER_LINES = {
    "lstm_addmm_unbind": (
        ("torch.addmm(from_input, hid, self.Wh)", "torch.addmm(from_input, mem, self.Wh)"),
        ("torch.addmm(from_input, hid, self.Wh)", "torch.addmm(from_input, hid, self.Wh, beta=2)"),
        ("torch.addmm(from_input, hid, self.Wh)", "torch.addmm(self.bias, hid, self.Wh)"),
        ("self.bias, inp, self.Wx)", "self.bias, inp, self.Wx, alpha=0.5)"),
        ("enter, forget, cand, leave =", "enter, forget, leave, cand ="),
        ("forget.sigmoid() * mem", "forget.sigmoid() * mem.tanh()"),
        ("enter.sigmoid() * cand.tanh()", "enter.softmax(dim=1) * cand.tanh()"),
        ("enter.sigmoid() * cand.tanh()", "enter.sigmoid() * cand.tanh().tanh()"),
        ("mem_new: Tensor = kept + written", "mem_new: Tensor = (kept + written) / 2"),
        ("leave.sigmoid() * mem_new.tanh()", "leave.sigmoid() * mem.tanh()"),
        ("return hid_new, mem_new", "return hid_new, mem"),
    ),
    "lstm_slices_inplace": (
        ("acts += F.linear", "acts -= F.linear"),
        ("acts += F.linear", "acts = F.linear"),
        ("acts[:, H:2 * H]", "acts[:, :H]"),
        ("torch.tanh(acts[:, 2 * H:3 * H])", "torch.tanh(acts[:, H:2 * H])"),
        ("torch.sigmoid(acts[:, 3 * H:])", "torch.sigmoid(-acts[:, 3 * H:])"),
        ("ct = ct * ft", "ct = ct.mul(it)"),
        ("ct += it * gt", "ct += gt"),
        ("ct += it * gt", "ct *= it * gt"),
        ("squashed.mul(ot)", "squashed.add(ot)"),
        ("squashed = ct.tanh()", "squashed = F.hardtanh(ct)"),
    ),
    "lstm_helper_per_gate": (
        ("x @ self.U[gate].t()", "x @ self.U[self.INPUT].t()"),
        ("h @ self.V[gate].t()", "h @ self.V[gate]"),
        ("+ from_h + self.b[gate]", "+ from_h + self.b[0]"),
        ("+ from_h + self.b[gate]", "+ self.b[gate]"),
        ("torch.sigmoid(self.net(self.OUTPUT, x, h_old))", "torch.sigmoid(self.net(3, x, c_old))"),
        (
            "torch.tanh(self.net(self.CELL, x, h_old))",
            "self.net(self.CELL, x, h_old)",
        ),
        ("self.net(self.FORGET, x, h_old)", "self.net(self.FORGET, x, h_old) + 1"),
        ("            + gate_in * proposal", "            + (1 - gate_forget) * proposal"),
        ("            * torch.tanh(c_new)", "            * torch.tanh(c_old)"),
    ),
    "lstm_batch_first_preallocated": (
        ("out[:, step] = h", "out[:, step] = c"),
        ("out[:, step] = h", "out[:, length - 1 - step] = h"),
        ("self.proj(batch[:, step])", "self.proj(batch[:, 0])"),
        ("self.proj(batch[:, step])", "self.proj(batch[:, -step])"),
        ("a = a + self.rec(h)", "a = a + self.rec(init[0])"),
        ("torch.addcmul(f * c, i, g)", "torch.addcmul(f * c, i, g, value=0.9)"),
        ("torch.addcmul(f * c, i, g)", "torch.addcmul(c, i, g)"),
        ("return out, (h, c)", "return out, (c, h)"),
        ("return out, (h, c)", "return out, (out[:, 0], c)"),
    ),
    "lstm_cell_in_layer": (
        ("torch.cat((x, h), 1)", "torch.cat((x, c), 1)"),
        ("hs += [h]", "hs += [c]"),
        ("h, c = self.cell(x, h, c)", "h, c = self.cell(x, c, h)"),
        ("c = carried + torch.sigmoid(i)", "c = carried + torch.sigmoid(f)"),
        ("torch.sigmoid(o) * torch.tanh(c)", "torch.sigmoid(o) * torch.tanh(carried)"),
        ("ys = torch.stack(hs)", "ys = torch.stack(hs[::-1])"),
        ("c.unsqueeze(0))", "h.unsqueeze(0))"),
    ),
    "lstm_lambda_dict": (
        ('torch.tanh(pre("g"))', 'torch.tanh(pre("i"))'),
        ('gate["f"] * m + gate["i"] * gate["g"]', 'gate["f"] * m + gate["i"] * gate["o"]'),
        ('gate["f"] * m', 'gate["f"] * y'),
        ("torch.tanh(m)", "torch.sin(m)"),
        ("y.mm(self.u", "m.mm(self.u"),
        ("sig = torch.sigmoid", "sig = torch.nn.functional.hardsigmoid"),
    ),
    "lstm_einsum_one_weight": (
        ("self.bias[:, None]", "2 * self.bias[:, None]"),
        ("torch.sigmoid(p[3])", "torch.sigmoid(p[1])"),
        ("news = torch.tanh(p[2])", "news = torch.tanh(p[2] + p[0])"),
        ("update(cell, keep, write, news)", "update(cell, write, keep, news)"),
        ("update(cell, keep, write, news)", "update(out, keep, write, news)"),
        ("retained + added", "retained * added"),
        ("added = put * what", "added = (1 - keep) * what"),
        ("torch.cat([token, out], dim=1)", "torch.cat([token, cell], dim=1)"),
    ),
    "lstm_columns_first": (
        ("self.U_i @ h", "self.U_i.T @ h"),
        ("self.U_f @ h", "self.U_f @ c"),
        ("self.W_o @ x", "self.W_i @ x"),
        ("self.U_c @ h + self.b_c", "self.U_c @ (f_t * h) + self.b_c"),
        ("f_t * c + i_t * c_tilde", "f_t * c + c_tilde"),
        ("return h_t.T, c_t.T", "return h_t.T, c_tilde.T"),
    ),
    "lstm_generator_walrus": (
        ("(sums[0], sums[1], sums[3])", "(sums[0], sums[1], -sums[3])"),
        ("torch.tanh(sums[2])", "torch.tanh(sums[3])"),
        ("p(x) + q(h) for", "p(x) * q(h) for"),
        ("o * torch.tanh(new := f * c + i * g)", "o * torch.tanh(new := f * c + i + g)"),
        ("h, c = state", "c, h = state"),
    ),
    "gru_lerp_split": (
        ("torch.lerp(new, h, update)", "torch.lerp(h, new, update)"),
        ("torch.lerp(new, h, update)", "torch.lerp(new, h, reset)"),
        ("torch.addcmul(xn, reset, hn)", "torch.addcmul(hn, reset, xn)"),
        ("torch.addcmul(xn, reset, hn)", "torch.addcmul(xn, update, hn)"),
        ("reset = (xr + hr)", "reset = (xr + hz)"),
        ("update = (xz + hz).sigmoid()", "update = (xz + hz).sigmoid().round(decimals=1)"),
        ("self.lin_h(h).split", "self.lin_h(h.tanh()).split"),
    ),
    "gru_gate_modules": (
        ("self.candidate(inputs, hidden, r)", "self.candidate(inputs, hidden)"),
        ("self.candidate(inputs, hidden, r)", "self.candidate(inputs, hidden, u)"),
        ("self.candidate(inputs, hidden, r)", "self.candidate(inputs, r * hidden)"),
        ("recurrent = mask * recurrent", "recurrent = recurrent + mask"),
        ("self.from_x(x) + recurrent", "self.from_x(x) - recurrent"),
        ("fresh = (1 - u)", "fresh = (1 - r)"),
        ("old = u * hidden", "old = u * proposal"),
    ),
    "gru_layer_projection_first": (
        ("now = projected[:, t]", "now = projected[:, t - 1]"),
        ("now = projected[:, t]", "now = projected[:, 0]"),
        ("r = torch.sigmoid(now[0] + recurrent[0])", "r = torch.sigmoid(now[0] + recurrent[1])"),
        ("torch.tanh(now[2] + r * recurrent[2])", "torch.tanh(r * (now[2] + recurrent[2]))"),
        ("state = n - z * n + z * state", "state = n + z * n + z * state"),
        ("history[t] = state", "history[t] = n"),
        ("history[t] = state", "history[-t] = state"),
        ("projected + self.b[", "projected + self.d["),
    ),
    "gru_in_place_batch_first": (
        ("rz[:, :self.k], rz[:, self.k:]", "rz[:, self.k:], rz[:, :self.k]"),
        ("ht = ht * rt", "ht = ht * zt"),
        ("s = s * zt", "s = s * (1.0 - zt)"),
        ("(1.0 - zt) * nt", "(0.5 - zt) * nt"),
        ("xt = inputs[:, t, :]", "xt = inputs[:, T - 1 - t, :]"),
        ("outs.append(s.unsqueeze(1))", "outs.append(nt.unsqueeze(1))"),
        ("nt = ht.tanh()", "nt = ht.clamp(-1, 1)"),
    ),
    "rnn_baddbmm_layer": (
        ("torch.addmm(drive, s, self.B)", "torch.addmm(drive, s, self.B, beta=0.5)"),
        ("torch.addmm(drive, s, self.B)", "torch.addmm(drive, s.relu(), self.B)"),
        ("result.append(s)", "result.insert(0, s)"),
        ("result.append(s)", "result.append(drive)"),
        ("torch.stack(result, 1), s", "torch.stack(result, 1), result[0]"),
    ),
    "rnn_nested_step": (
        ("total = total + self.rec(before)", "total = total + self.rec(before) + before"),
        ("torch.tanh(total)", "torch.tanh(total) + before"),
        ("before = states[-1]", "before = states[0]"),
        ("torch.stack(states[1:])", "torch.stack(states[:-1])"),
        ("states[-1][None]", "states[1][None]"),
    ),
    "rnn_cell_matmul": (
        ("torch.hstack([h, x])", "torch.hstack([h / 2, x])"),
        ("a = a + self.v", "a = a - self.v"),
        ("return a.tanh()", "return a.sigmoid() * 2 - 1"),
        ("return a.tanh()", "return 0.5 * h + 0.5 * a.tanh()"),
    ),
    "lstm_stateful_class": (
        ("self.ifo(joined).sigmoid()", "self.ifo(joined).tanh()"),
        ("f * state.cell", "f * state.hidden"),
        ("State(o * cell.tanh(), cell)", "State(o * cell.tanh(), cell.tanh())"),
        ("State(o * cell.tanh(), cell)", "State(f * cell.tanh(), cell)"),
        ("outputs.append(state.hidden)", "outputs.append(state.cell)"),
        ("self.step(x[:, t], state)", "self.step(x[:, 0], state)"),
        ("i, f, o = self", "f, i, o = self"),
    ),
}


def further_mutants(style: str) -> Iterator[Mutant]:
    """The mutants of one of ``FURTHER_STYLES``."""
    text = FURTHER_STYLES[style].read_text(encoding="utf-8")
    for right, wrong in FURTHER_LINES[style]:
        assert text.count(right) == 1, f"{style} has {right!r} {text.count(right)} times"
        line = text[: text.index(right)].count("\n") + 1
        source = text.replace(right, wrong)
        yield Mutant(style, "a further line", line, right, wrong, source)
