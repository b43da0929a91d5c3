"""A published variant of torch.nn's cell is named as what it is, with its equation."""

import pytest
from torch import nn

from cell_verifier import verify
from cell_verifier.reference.kinds import Against
from tests.cell_verifier.cells.collection import STYLES
from tests.cell_verifier.cells.published import variants

# Class, what it is compared with, words of the reason
CASES: list[tuple[type[nn.Module], Against, str]] = [
    (variants.PeepholeVectors, "lstm", "this is a peephole LSTM"),
    (variants.PeepholeOldC, "lstm", "this is a peephole LSTM"),
    (variants.Coupled, "lstm", "this is an LSTM with coupled gates, i = 1 - f"),
    (variants.NoForget, "lstm", "this is the LSTM of 1997, without a forget gate"),
    (variants.Minimal, "gru", "this is a minimal gated unit"),
    (variants.Independent, "rnn", "this is an IndRNN: h' = relu(W x + u ⊙ h + b)"),
    (variants.MinGRU, "gru", "this is a minGRU"),
    (variants.MinLSTM, "gru", "this is a minLSTM"),
    (variants.NormedLSTM, "lstm", "this is a normalized LSTM"),
    (variants.NormedGRU, "gru", "this is a normalized GRU"),
    (variants.DroppedOut, "lstm", "it draws random numbers in training"),
    (variants.ZonedOut, "lstm", "an LSTM with zoneout: h' = 0.1 h + 0.9 h_new, c' = 0.2 c"),
]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].__name__)
def test_a_variant_is_different_and_is_named(case) -> None:
    make, against, words = case
    report = verify(make, against)
    assert report.verdict == "different", str(report)
    assert words in report.reason, str(report)


def test_a_wrong_cell_is_not_taken_for_a_variant(tmp_path) -> None:
    text = STYLES["lstm_stacked_linear"].read_text(encoding="utf-8")
    assert text.count("f * c + i * g") == 1
    names: dict[str, type[nn.Module]] = {}
    exec(text.replace("f * c + i * g", "c + i * g"), names)
    assert "this is" not in verify(names["MyLSTM"], "lstm").reason
