"""What a check reports besides the line: the equation, the name, the remedy."""

import textwrap
from pathlib import Path

import pytest

from exercises.checking.judge import judge
from exercises.exercise import find_exercise
from tests.exercises.helpers import answer

EXPECTED = {
    "the step in the loop, not the state before it": (
        "loop_over_time",
        """
        output = x.new_zeros(len(x), *h_0.shape)
        for t in range(len(x)):
            h = rnn_step(x[t], output[t], w_ih, w_hh, b_ih, b_hh)
            output[t] = h
        return output, h
        """,
        "h_t = step(x_t, h_{t-1})",
    ),
    "the equation of a returned expression": (
        "gru_candidate",
        """
        n = torch.tanh(x @ w_in.T + b_in + r * (h @ w_hn.T + b_hn))
        return z * n + (1 - z) * h
        """,
        "h' = (1 - z) ⊙ n + z ⊙ h",
    ),
    "the equation of one returned part": (
        "lstm_memory",
        """
        memory = f * c + i * g
        return o * torch.tanh(c), memory
        """,
        "h' = o ⊙ tanh(c')",
    ),
    "the order of returned variables": (
        "lstm_memory",
        """
        memory = f * c + i * g
        return memory, o * torch.tanh(memory)
        """,
        "h', c'",
    ),
}


@pytest.mark.parametrize("case", EXPECTED)
def test_the_equation_of_the_wrong_value_is_named(case: str, tmp_path: Path) -> None:
    exercise, body, expected = EXPECTED[case]
    assert answer(exercise, body, tmp_path).expected == expected


def test_the_wrong_one_of_several_variables_is_named(tmp_path: Path) -> None:
    body = """
    i, f, o, g = (x @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, dim=-1)
    new = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * new.tanh(), new
    """
    assert answer("lstm_step", body, tmp_path).message == "o has wrong values"


REMEDIES = {
    "use torch's functions instead of NumPy's": "return torch.tensor(numpy.tanh(x.numpy()))",
    "a = a + b instead of a += b": "x += 1",
    "append the values to a list": """
        output = x.new_zeros(len(x) + 1, h.size(1))
        for k in range(len(x)):
            output[k + 1] = torch.tanh(output[k] @ w_hh.T + w_ih @ x[k])
        return output[1:]
        """,
}


@pytest.mark.parametrize("remedy", REMEDIES)
def test_an_exception_of_autograd_is_answered_with_the_remedy(remedy: str, tmp_path: Path) -> None:
    body = "import numpy\n" + textwrap.dedent(REMEDIES[remedy]).strip("\n")
    assert remedy in answer("rnn_step", body, tmp_path).message


def test_arguments_in_another_order_are_named(tmp_path: Path) -> None:
    entry = find_exercise("lstm_memory")
    path = tmp_path / entry.file_name
    changed = entry.template.solution().replace("i: Tensor, f: Tensor", "f: Tensor, i: Tensor")
    path.write_text(changed, encoding="utf-8")
    result = judge(entry, path, seed=0)
    assert result.source.startswith("def lstm_memory(")
    assert "expected the order c, i, f, g, o" in result.message


IN_ONE_LINE = {
    "return torch.rand(5, 3, 4), torch.rand(3, 4)": "H = I = 4",
    "return torch.rand(28, 3, 4), torch.rand(3, 2)": "T = 28",
    "return torch.ones(5, 3, 4), torch.rand(3, 2)": "elements of x are equal",
}


@pytest.mark.parametrize("body", IN_ONE_LINE)
def test_inputs_that_are_drawn_in_the_return_statement(body: str, tmp_path: Path) -> None:
    result = answer("sizes_that_differ", body, tmp_path)
    assert result.source == body
    assert IN_ONE_LINE[body] in result.message


def test_the_names_of_a_state_in_the_wrong_order_are_shown(tmp_path: Path) -> None:
    entry = find_exercise("lstm_cell")
    path = tmp_path / entry.file_name
    path.write_text(entry.template.solution().replace("h, c = state", "c, h = state"), "utf-8")
    result = judge(entry, path, seed=0)
    assert result.source == "c, h = state"
    assert (result.computes, result.expected) == ("c, h = h, c", "c, h = c, h")
