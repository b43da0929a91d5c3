"""The wrong line of a layer with several layers or directions, or with dropout, is located."""

from pathlib import Path

import pytest

from cell_verifier import verify
from command_line.load_object import load_object
from tests.cell_verifier.cells.collection import STYLES

RNN, LSTM, TWO_LISTS = "rnn_stack", "lstm_stacked_layers", "lstm_bidirectional_wrapper"

# Style, right, wrong, what the line computes
LINES = [
    # the state of another layer or direction
    (RNN, "h, ys = h0[k], []", "h, ys = h0[0], []", "the initial h of layer 0"),
    (
        RNN,
        "h, ys = h0[k], []",
        "h, ys = (h0[k] if layer == 0 else h), []",
        "the final h of layer 0",
    ),
    (LSTM, "h0[k], c0[k])", "h0[k], c0[layer])", "the initial c of the forward direction"),
    # the input of another layer or direction
    (RNN, "source = torch.cat(columns, -1)", "source = torch.cat([columns[0]] * self.d, -1)",
     "the outputs of the forward direction"),
    (RNN, "ordered = source.flip(0) if d else source", "ordered = source",
     "the input of the forward direction"),
    (LSTM, "order = reversed(order)", "order = list(order)", "the input of the forward direction"),
    (TWO_LISTS, "self.backwards[k](x.flip(1)", "self.backwards[k](x",
     "the input of the forward direction"),
    # the outputs of the reverse direction are not reversed back
    (RNN, "y = y.flip(0) if d else y", "y = y",
     "the outputs in reverse order of the reverse direction"),
    (TWO_LISTS, "r.flip(1)], -1)", "r], -1)",
     "the outputs in reverse order of the reverse direction"),
    # the weights of another layer or direction
    (RNN, "h @ self.u[k]", "h @ self.u[layer]", "the reverse direction with u.0"),
    (LSTM, "self.cells[k](below", "self.cells[layer * self.directions](below",
     "the reverse direction with cells.0.w.weight, cells.0.w.bias, ..."),
    # the final state of another layer or direction, or in another order
    (RNN, "last[k] = h", "last[k] = y[-1]", "h before each step of the reverse direction"),
    (RNN, "last[k] = h", "last[d * self.n + layer] = h", "h_n, in another order"),
    (RNN, "torch.stack(last)", "torch.stack(last[::-1])", "h_n, in another order"),
    (TWO_LISTS, "r, hn[j + 1], cn[j + 1] =", "r, hn[j], cn[j + 1] =", ""),
    # dropout after the last layer, only there, or in evaluation mode
    (RNN, "if layer < self.n - 1:", "if layer < self.n:", "zeros"),
    (RNN, "if layer < self.n - 1:", "if layer == self.n - 1:", "zeros"),
    (RNN, "self.dropout, self.training)", "self.dropout)", "zeros"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("style", "right", "wrong", "computes"), LINES)
def test_the_line_of_a_mistake_between_cells_is_the_only_location(
    tmp_path: Path, style: str, right: str, wrong: str, computes: str
) -> None:
    text = STYLES[style].read_text(encoding="utf-8")
    assert text.count(right) == 1
    path = tmp_path / "my_layer.py"
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    kind = style.partition("_")[0]
    report = verify(load_object(f"{path}:My{kind.upper()}"), kind)
    assert report.verdict == "different"
    (location,) = report.locations
    line = text[: text.index(right)].count("\n") + 1
    assert (location.line, location.computes, location.proved) == (line, computes, True)
