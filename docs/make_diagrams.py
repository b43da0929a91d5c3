"""Draw the diagrams of docs/explanation/architecture.md: ``python docs/make_diagrams.py``."""

from html import escape
from pathlib import Path

FIGURES = Path(__file__).parent / "figures"
WIDTH = 600
STYLE = """
  text { font: 15px system-ui, sans-serif; fill: #1c2b33; text-anchor: middle }
  .small { font-size: 13px; fill: #51646e }
  .box { fill: #e8eef1; stroke: #78909c }
  .line { stroke: #78909c; stroke-width: 1.5; fill: none; marker-end: url(#arrow) }
  .head { fill: #78909c }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf0 }
    .small { fill: #a9bac3 }
    .box { fill: #2b3a42 }
  }
"""


def box(x: int, y: int, width: int, height: int, name: str, *notes: str) -> str:
    """A rectangle with a name and lines of small text in its middle."""
    lines = [("", name), *((' class="small"', note) for note in notes)]
    top = y + height / 2 - 9 * (len(lines) - 1) + 5
    texts = "".join(
        f'<text x="{x + width / 2}" y="{top + 18 * i}"{css}>{escape(words)}</text>'
        for i, (css, words) in enumerate(lines)
    )
    return f'<rect class="box" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>{texts}'


def arrow(x: int, start: int, end: int) -> str:
    """A vertical arrow."""
    return f'<path class="line" d="M{x} {start} V{end - 8}"/>'


def write(name: str, height: int, title: str, parts: list[str]) -> None:
    """Write a diagram that is readable on a light and on a dark page."""
    marker = (
        '<marker id="arrow" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="6" markerHeight="6" '
        'orient="auto"><path class="head" d="M0 0 L8 4 L0 8 z"/></marker>'
    )
    body = "\n".join(parts)
    (FIGURES / name).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n<defs>{marker}</defs>\n"
        f"{body}\n</svg>\n",
        encoding="utf-8",
    )


def imports() -> None:
    """Packages in rows; an arrow leads from a package to one below that it imports."""
    parts = [
        box(10, 10, 138, 44, "train.py"),
        box(156, 10, 138, 44, "benchmarks"),
        box(302, 10, 138, 44, "gate_explorer"),
        box(448, 10, 142, 44, "exercises"),
        box(10, 90, 430, 44, "training_loop"),
        box(10, 170, 120, 60, "scratch_cells"),
        box(138, 170, 125, 60, "builtin_models"),
        box(310, 170, 280, 60, "cell_verifier", "has its own equations: it imports",
            "neither scratch_cells nor builtin_models"),
        box(10, 266, 253, 44, "shared_interface"),
        box(271, 266, 140, 44, "sequenced_mnist"),
        box(419, 266, 171, 44, "command_line"),
    ]  # fmt: skip
    parts += [arrow(x, 54, 90) for x in (79, 225, 371)]
    parts += [arrow(x, 134, 170) for x in (70, 200, 375)]
    parts += [arrow(519, 54, 170), arrow(287, 134, 266)]
    parts += [arrow(x, 230, 266) for x in (70, 200, 505)]
    write("imports.svg", 320, "Which package imports which: every arrow points down", parts)


def data_flows() -> None:
    """Three columns: an image through training, a user's cell, a run in the explorer."""
    columns = [
        ("one image", [
            ("load_images", "(n, 28, 28) uint8"),
            ("to_sequences", "(batch, time, features)"),
            ("RecurrentLayer", "outputs, final state"),
            ("SequenceClassifier", "logits (batch, classes)"),
            ("cross entropy", "loss"),
            ("train.py", "one optimizer step"),
        ]),
        ("one user cell", [
            ("construct", "the user's module"),
            ("discover the call", "arguments, outputs"),
            ("match parameters", "to those of torch.nn"),
            ("find all mistakes", "values, gradients, layers"),
            ("check", "compare, measure"),
            ("report", "verdict, fixes"),
        ]),
        ("one explored run", [
            ("load", "model and one image"),
            ("observe", "gates, states, gradients"),
            ("panels", "what each chart shows"),
            ("render", "HTML, PNG, NumPy arrays"),
        ]),
    ]  # fmt: skip
    parts = []
    for column, (heading, steps) in enumerate(columns):
        x = 10 + 197 * column
        parts.append(f'<text x="{x + 93}" y="24">{heading}</text>')
        for row, (name, note) in enumerate(steps):
            y = 40 + 84 * row
            parts.append(box(x, y, 186, 52, name, note))
            if row + 1 < len(steps):
                parts.append(arrow(x + 93, y + 52, y + 84))
    write(
        "data_flows.svg", 520, "The steps of training, of the verifier and of the explorer", parts
    )


if __name__ == "__main__":
    imports()
    data_flows()
