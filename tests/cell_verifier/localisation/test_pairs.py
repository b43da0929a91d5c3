"""Two independent mistakes are two locations, whichever they are."""

from pathlib import Path

import pytest

from cell_verifier import verify
from command_line.load_object import load_object
from tests.cell_verifier.cells.collection import STYLES
from tests.cell_verifier.mutants.further import FURTHER_STYLES

Change = tuple[str, str]

PAIRS: list[tuple[str, Change, Change]] = [
    (  # a gate, and the operands of the operation that reads what follows from it
        "gru_lerp_split",
        ("reset = (xr + hr)", "reset = (xr + hz)"),
        ("torch.lerp(new, h, update)", "torch.lerp(h, new, update)"),
    ),
    (
        "lstm_stacked_linear",
        ("f * c + i * g", "f * c - i * g"),
        ("o * torch.tanh", "i * torch.tanh"),
    ),
    (  # a time step, and the outputs
        "gru_layer_projection_first",
        ("now = projected[:, t]", "now = projected[:, t - 1]"),
        ("history[t] = state", "history[t] = n"),
    ),
    (
        "lstm_batch_first_preallocated",
        ("self.proj(batch[:, step])", "self.proj(batch[:, -step])"),
        ("out[:, step] = h", "out[:, step] = c"),
    ),
    (  # the recurrence, and the final state
        "rnn_nested_step",
        ("torch.tanh(total)", "torch.sigmoid(total)"),
        ("states[-1][None]", "states[1][None]"),
    ),
    (
        "rnn_baddbmm_layer",
        ("torch.addmm(drive, s, self.B)", "torch.addmm(drive, s, self.B, beta=0.5)"),
        ("torch.stack(result, 1), s", "torch.stack(result, 1), result[0]"),
    ),
    (  # the recurrence, and the outputs
        "rnn_baddbmm_layer",
        ("torch.addmm(drive, s, self.B)", "torch.addmm(drive, s.relu(), self.B)"),
        ("result.append(s)", "result.append(drive)"),
    ),
    (  # a value, and a gradient
        "lstm_stacked_linear",
        ("f * c + i * g", "f * c + g"),
        ("o * torch.tanh", "o.detach() * torch.tanh"),
    ),
    (
        "gru_stacked_linear",
        ("xn + r * hn", "xn + z * hn"),
        ("(1 - z) * n + z * h", "(1 - z) * n + z * h.detach()"),
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("style", "first", "second"), PAIRS)
def test_two_mistakes_are_two_locations(
    tmp_path: Path, style: str, first: Change, second: Change
) -> None:
    text = {**STYLES, **FURTHER_STYLES}[style].read_text(encoding="utf-8")
    wrong, lines = text, []
    for before, after in (first, second):
        assert text.count(before) == 1
        lines.append(text[: text.index(before)].count("\n") + 1)
        wrong = wrong.replace(before, after)
    path = tmp_path / "my_cell.py"
    path.write_text(wrong, encoding="utf-8")
    kind = style.partition("_")[0]
    report = verify(load_object(f"{path}:My{kind.upper()}"), kind)
    assert sorted(each.line for each in report.locations) == lines, str(report)
    assert all(each.proved for each in report.locations)
