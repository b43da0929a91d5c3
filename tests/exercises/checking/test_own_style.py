"""Answers in the learner's own style: right ones pass, and wrong ones are located all the same."""

from pathlib import Path

import pytest

from exercises.checking.judge import judge
from exercises.exercise import find_exercise
from tests.exercises.helpers import answer

RIGHT = {
    "one expression": (
        "rnn_step",
        "return (x.matmul(w_ih.t()) + b_ih + (w_hh @ h.T).T + b_hh).tanh()",
    ),
    "other names": (
        "lstm_memory",
        """
        memory = c * f
        memory = memory + g * i
        return o * memory.tanh(), memory
        """,
    ),
    "a name for something else": (
        "gru_candidate",
        """
        h_next = h @ w_hn.T + b_hn
        n = x @ w_in.T + b_in
        new = (n + r * h_next).tanh()
        return new + z * (h - new)
        """,
    ),
    "another loop": (
        "loop_over_time",
        """
        states = [h_0]
        for t in range(x.size(0)):
            states += [rnn_step(x[t], states[t], w_ih, w_hh, b_ih, b_hh)]
        return torch.stack(states[1:]), states[-1]
        """,
    ),
    "a comprehension": (
        "gradient_clipping",
        """
        total = sum(float(g.square().sum()) for g in gradients) ** 0.5
        return [g * min(1.0, max_norm / total) for g in gradients]
        """,
    ),
    "a preallocated output": (
        "loop_over_time",
        """
        output = x.new_zeros(len(x), *h_0.shape)
        h = h_0
        for t, x_t in enumerate(x):
            h = rnn_step(x_t, h, w_ih, w_hh, b_ih, b_hh)
            output[t] = h
        return output, h
        """,
    ),
    "einsum": (
        "rnn_backward_step",
        """
        delta = dh_next - dh_next * h_next * h_next
        return (
            torch.einsum("bh,hi->bi", delta, w_ih),
            delta.mm(w_hh),
            torch.einsum("bh,bi->hi", delta, x),
            torch.einsum("bh,bk->hk", delta, h),
            delta.sum(dim=0),
        )
        """,
    ),
}


@pytest.mark.parametrize("case", RIGHT)
def test_a_right_answer_passes_in_any_style(case: str, tmp_path: Path) -> None:
    exercise, body = RIGHT[case]
    result = answer(exercise, body, tmp_path)
    assert result.status == "passed", f"line {result.line}: {result.message}"


WRONG = {
    "one expression": (
        "rnn_step",
        "return torch.tanh(x @ w_ih.T + b_ih + h @ w_hh + b_hh)",
        "return torch.tanh",
    ),
    "other names": (
        "lstm_memory",
        """
        memory = c * f
        memory = memory + g
        shown = torch.tanh(memory)
        return o * shown, memory
        """,
        "memory = memory + g",
    ),
    "an intermediate value without a name in the equations": (
        "lstm_step",
        """
        from_x = x @ w_ih.T + b_ih
        from_h = h @ w_hh.T + b_hh
        i, f, g, o = (from_x + from_h).chunk(4, dim=-1)
        new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.sigmoid(g)
        return torch.sigmoid(o) * torch.tanh(new), new
        """,
        "new = torch.sigmoid(f)",
    ),
    "the gates in another order, with other names": (
        "lstm_step",
        """
        i, f, o, g = (x @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, dim=-1)
        new = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * new.tanh(), new
        """,
        "i, f, o, g = ",
    ),
    "values that are appended sample by sample": (
        "rnn_step",
        """
        rows = []
        for k in range(len(x)):
            rows.append(torch.tanh(w_ih @ x[k] + b_ih + w_hh @ h[k] + b_ih))
        return torch.stack(rows)
        """,
        "rows.append",
    ),
    "values that are appended one by one to a list": (
        "gradient_clipping",
        """
        clipped = []
        for gradient in gradients:
            norm = gradient.norm()
            clipped.append(gradient * min(1.0, max_norm / norm))
        return clipped
        """,
        "clipped.append",
    ),
    "a value that is right where it is used, and wrong where it is returned": (
        "lstm_memory",
        """
        memory = torch.tanh(f * c + i * g)
        shown = o * memory
        return shown, memory
        """,
        "memory = torch.tanh",
    ),
    "two mistakes: the first is named": (
        "lstm_step",
        """
        a = x @ w_ih.T + b_ih + h @ w_hh.T + b_hh
        a_i, a_f, a_g, a_o = a.chunk(4, dim=-1)
        i = torch.sigmoid(a_i)
        f = torch.sigmoid(a_f)
        g = torch.sigmoid(a_g)
        o = torch.sigmoid(a_o)
        c_next = f * c + i * g
        h_next = o * c_next
        return h_next, c_next
        """,
        "g = torch.sigmoid(a_g)",
    ),
    "two mistakes, of which one raises": (
        "lstm_step",
        """
        a = x @ w_ih.T + b_ih + h @ w_hh.T
        a_i, a_f, a_g, a_o = a.chunk(4, dim=-1)
        c_next = torch.sigmoid(a_f) * c + torch.sigmoid(a_i) * torch.tanh(a_g)
        h_next = torch.sigmoid(a_o) @ torch.tanh(c_next)
        return h_next, c_next
        """,
        "a = x @ w_ih.T",
    ),
    "an argument changed in place": (
        "lstm_memory",
        """
        c *= f
        c_next = c + i * g
        return o * torch.tanh(c_next), c_next
        """,
        "c *= f",
    ),
    "state in another loop": (
        "loop_over_time",
        """
        output = x.new_zeros(len(x), *h_0.shape)
        for t in range(len(x)):
            output[t] = rnn_step(x[t], h_0, w_ih, w_hh, b_ih, b_hh)
        return output, output[-1]
        """,
        "output[t] = rnn_step",
    ),
    "one step too few": (
        "loop_over_time",
        """
        outputs, h = [], h_0
        for x_t in x[:-1]:
            h = rnn_step(x_t, h, w_ih, w_hh, b_ih, b_hh)
            outputs.append(h)
        return torch.stack(outputs), h
        """,
        "for x_t in x[:-1]",
    ),
    "nothing is returned": (
        "rnn_step",
        """
        a = x @ w_ih.T + b_ih + h @ w_hh.T + b_hh
        h_next = torch.tanh(a)
        """,
        "def rnn_step(",
    ),
    "one value instead of two": (
        "lstm_memory",
        """
        c_next = f * c + i * g
        return o * torch.tanh(c_next)
        """,
        "return o * torch.tanh(c_next)",
    ),
    "another dtype": (
        "rnn_step",
        """
        a = x @ w_ih.T + b_ih + h @ w_hh.T + b_hh
        return torch.tanh(a).float()
        """,
        "return torch.tanh(a).float()",
    ),
    "gradients cut": (
        "loop_over_time",
        """
        outputs, h = [], h_0
        for x_t in x:
            h = rnn_step(x_t, h.detach(), w_ih, w_hh, b_ih, b_hh)
            outputs.append(h)
        return torch.stack(outputs), h
        """,
        "h = rnn_step(x_t, h.detach()",
    ),
    "NumPy in between": (
        "rnn_step",
        """
        a = x @ w_ih.T + b_ih + h @ w_hh.T + b_hh
        h_next = torch.tensor(a.tolist(), dtype=a.dtype).tanh()
        return h_next
        """,
        "h_next = torch.tensor",
    ),
    "an infinite value": (
        "rnn_step",
        """
        a = x @ w_ih.T + b_ih + h @ w_hh.T + b_hh
        h_next = torch.log(torch.zeros_like(a))
        return h_next
        """,
        "h_next = torch.log",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_answer_is_located_in_any_style(case: str, tmp_path: Path) -> None:
    exercise, body, line = WRONG[case]
    result = answer(exercise, body, tmp_path)
    assert result.status in ("failed", "error")
    assert line in result.source, f"{result.line}: {result.source!r}: {result.message}"


def test_a_file_with_a_byte_order_mark_is_located(tmp_path: Path) -> None:
    entry = find_exercise("rnn_step")
    text = entry.template.solution().replace("torch.tanh(a)", "torch.sigmoid(a)")
    path = tmp_path / entry.file_name
    path.write_text(text, encoding="utf-8-sig")
    result = judge(entry, path, seed=0)
    assert "torch.sigmoid(a)" in result.source
    assert result.expected == "h' = tanh(a)"
