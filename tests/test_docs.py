"""Every block of Python in the study guide runs, and every figure it shows is there."""

import re

import pytest
import torch

from tests.helpers.paths import ROOT

DOCS = ROOT / "docs"
GUIDE = (
    "index",
    "tutorials/rnn",
    "tutorials/gru",
    "tutorials/lstm",
    "explanation/bptt",
    "explanation/torch_nn",
    "how-to/train",
)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", GUIDE)
def test_the_code_runs_from_top_to_bottom(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32
    )  # put back what a page sets
    page = DOCS / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert blocks
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for block in blocks:
        lines_before = text.count("\n", 0, block.start(1))
        exec(compile("\n" * lines_before + block[1], str(page), "exec"), names)


@pytest.mark.parametrize("name", [*GUIDE, "explanation/performance"])
def test_what_a_page_points_to_is_there(name: str) -> None:
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert ((DOCS / name).parent / target).is_file(), f"{name}.md points to {target}"
    for file in re.findall(r"`((?:scratch_cells|shared_interface)/[\w/]+\.py)`", text):
        assert (ROOT / file).is_file(), f"{name}.md speaks of {file}"


def test_figures_are_small() -> None:
    for figure in (DOCS / "figures").iterdir():
        assert figure.stat().st_size < 400_000, figure.name
