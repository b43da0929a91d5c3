"""train.py --compile: compiled once for training and once for the test, with the same result."""

from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from tests.helpers.runs import small
from train import train


@pytest.mark.slow
def test_a_smaller_last_batch_does_not_compile_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compile = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module,
        "compile",
        lambda module, **options: compile(module, backend="aot_eager", **options),
    )
    torch.compiler.reset()
    counters.clear()
    train(small(tmp_path, compile=True, epochs=2))
    assert counters["stats"]["unique_graphs"] == 2
    torch.compiler.reset()
    assert "compile training step 1: took" in capsys.readouterr().out
