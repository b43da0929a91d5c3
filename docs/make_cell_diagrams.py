"""Draw the diagrams of the three cells: ``python docs/make_cell_diagrams.py``.

The symbols are those of the equations in scratch_cells/rnn.py, gru.py and lstm.py. A circle is an
elementwise operation, a rounded box an activation, a wide box the product with the weights.
"""

from html import escape

import torch
from make_diagrams import box, write
from torch import Tensor

from scratch_cells import LSTMCell

RADIUS = 15


def operation(x: int, y: int, symbol: str) -> str:
    """A circle: ⊙, + or 1 -."""
    return (
        f'<circle class="box" cx="{x}" cy="{y}" r="{RADIUS}"/>'
        f'<text x="{x}" y="{y + 5}">{escape(symbol)}</text>'
    )


def activation(x: int, y: int, function: str) -> str:
    """A small box with σ or tanh, centred at (x, y)."""
    return box(x - 24, y - 15, 48, 30, function)


def label(x: int, y: int, words: str) -> str:
    """Text centred at (x, y)."""
    return f'<text x="{x}" y="{y + 5}">{escape(words)}</text>'


def line(*points: tuple[int, int]) -> str:
    """A line through these points, with an arrow head at its end."""
    *before, (x0, y0), (x, y) = points
    shorten = 8  # the head is drawn after the end of the line
    x -= shorten * ((x > x0) - (x < x0))
    y -= shorten * ((y > y0) - (y < y0))
    path = " L".join(f"{px} {py}" for px, py in [*before, (x0, y0), (x, y)])
    return f'<path class="line" d="M{path}"/>'


def rnn() -> None:
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh)"""
    parts = [
        label(30, 60, "h"),
        line((42, 60), (100, 60)),
        box(100, 36, 260, 48, "W_ih x + b_ih + W_hh h + b_hh"),
        line((230, 130), (230, 84)),
        label(230, 145, "x"),
        line((360, 60), (416, 60)),
        activation(440, 60, "tanh"),
        label(500, 44, "n"),
        line((464, 60), (540, 60)),
        label(560, 60, "h'"),
    ]
    write("cell_rnn.svg", 165, "The RNN cell: h' is the tanh of one sum", parts)


def gru() -> None:
    """Two gates; the reset gate multiplies the product W_hn h + b_hn."""
    parts = [
        label(20, 50, "h"),
        # how much of h is kept
        line((32, 50), (255, 50)),
        operation(270, 50, "⊙"),
        line((285, 50), (455, 50)),
        operation(470, 50, "+"),
        line((485, 50), (560, 50)),
        label(578, 50, "h'"),
        # the products
        line((60, 50), (60, 316), (90, 316)),
        box(90, 296, 190, 40, "W_hh h + b_hh"),
        box(330, 296, 190, 40, "W_ih x + b_ih"),
        line((425, 376), (425, 336)),
        label(425, 390, "x"),
        # reset
        line((120, 296), (120, 245)),
        line((350, 296), (350, 270), (130, 270), (130, 245)),
        activation(125, 230, "σ"),
        label(88, 230, "r"),
        # update
        line((190, 296), (190, 285), (265, 285), (265, 245)),
        line((380, 296), (380, 255), (275, 255), (275, 245)),
        activation(270, 230, "σ"),
        label(310, 230, "z"),
        line((270, 215), (270, 65)),
        line((270, 120), (355, 120)),
        operation(370, 120, "1 -"),
        line((385, 120), (455, 120)),
        operation(470, 120, "⊙"),
        line((470, 105), (470, 65)),
        # candidate
        line((125, 215), (125, 190), (395, 190), (395, 205)),
        operation(395, 220, "⊙"),
        line((240, 296), (240, 276), (395, 276), (395, 235)),
        line((410, 220), (446, 220)),
        line((470, 296), (470, 235)),
        activation(470, 220, "tanh"),
        label(508, 220, "n"),
        line((470, 205), (470, 135)),
    ]
    write("cell_gru.svg", 405, "The GRU cell: two gates and a candidate", parts)


def lstm() -> list[str]:
    """Four products, three gates; c passes through a product and a sum."""
    return [
        label(20, 50, "c"),
        line((32, 50), (115, 50)),
        operation(130, 50, "⊙"),
        line((145, 50), (275, 50)),
        operation(290, 50, "+"),
        line((305, 50), (560, 50)),
        label(578, 50, "c'"),
        # the products
        label(20, 300, "h"),
        line((32, 300), (80, 300)),
        box(80, 278, 400, 44, "W_ih x + b_ih + W_hh h + b_hh"),
        line((280, 366), (280, 322)),
        label(280, 381, "x"),
        # the gates
        line((130, 278), (130, 235)),
        activation(130, 220, "σ"),
        label(94, 220, "f"),
        line((130, 205), (130, 65)),
        line((230, 278), (230, 235)),
        activation(230, 220, "σ"),
        label(194, 220, "i"),
        line((230, 205), (230, 120), (275, 120)),
        line((340, 278), (340, 235)),
        activation(340, 220, "tanh"),
        label(304, 220, "g"),
        line((340, 205), (340, 120), (305, 120)),
        operation(290, 120, "⊙"),
        line((290, 105), (290, 65)),
        line((430, 278), (430, 235)),
        activation(430, 220, "σ"),
        label(394, 220, "o"),
        # the output
        line((430, 205), (430, 180), (485, 180)),
        line((500, 50), (500, 95)),
        activation(500, 110, "tanh"),
        line((500, 125), (500, 165)),
        operation(500, 180, "⊙"),
        line((515, 180), (560, 180)),
        label(578, 180, "h'"),
    ]


def note(x: int, y: int, values: Tensor) -> str:
    """The values of two units, in small text centred at (x, y)."""
    words = "(" + ", ".join(f"{value:.2f}" for value in values[0].tolist()) + ")"
    return f'<text x="{x}" y="{y + 5}" class="small">{words}</text>'


@torch.no_grad()
def lstm_step() -> list[str]:
    """The values of docs/tutorials/one_step.md, written into the diagram."""
    cell, x, (h, c) = example()
    a_i, a_f, a_g, a_o = (cell.project(x) + cell.hidden_to_hidden(h)).chunk(4, dim=1)
    i, f, g, o = gates = cell.gates(cell.project(x), (h, c))
    new_h, new_c = cell.update(gates, (h, c))
    return [
        *lstm(),
        note(72, 34, c),
        note(42, 338, h),
        '<text x="318" y="386" class="small">(1.00)</text>',
        *(note(at, 258, a) for at, a in ((176, a_f), (276, a_i), (388, a_g), (475, a_o))),
        *(note(at, y, v) for at, y, v in ((176, 180, f), (276, 180, i), (388, 150, g))),
        note(500, 228, o),
        note(205, 34, f * c),
        note(338, 86, i * g),
        note(420, 34, new_c),
        note(550, 145, torch.tanh(new_c)),
        note(548, 204, new_h),
    ]


def example() -> tuple[LSTMCell, Tensor, tuple[Tensor, Tensor]]:
    """The cell, the input and the state of docs/tutorials/one_step.md."""
    cell = LSTMCell(1, 2, bias=False, dtype=torch.float64)
    W_ih = [[1], [0], [2], [1], [1], [-1], [0], [1]]  # noqa: N806  # as in the equations
    W_hh = [[1, 0], [0, 1], [0, 0], [1, 1], [0, 1], [1, 0], [2, 0], [0, -1]]  # noqa: N806
    cell.weight_ih.copy_(torch.tensor(W_ih))
    cell.weight_hh.copy_(torch.tensor(W_hh))
    x, h, c = ([1.0], [0.5, -0.5], [1.0, -1.0])
    x, h, c = (torch.tensor([values], dtype=torch.float64) for values in (x, h, c))
    return cell, x, (h, c)


if __name__ == "__main__":
    rnn()
    gru()
    title = "The LSTM cell: three gates, a candidate, and the cell state"
    write("cell_lstm.svg", 396, title, lstm())
    write("one_step.svg", 396, "One step of an LSTM of two units, with every value", lstm_step())
