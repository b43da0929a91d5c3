"""Further kinds of published cells: keyword-only states, a call before forward, pooling, sums."""

import pytest
from torch import nn

from cell_verifier import verify
from cell_verifier.reference.kinds import Against
from tests.cell_verifier.cells.published import third

# Class, what it is compared with, verdict, words that the report contains
CASES: list[tuple[type[nn.Module], Against, str, tuple[str, ...]]] = [
    (third.KeywordParts, "lstm", "equal", ("x, h=h, c=c",)),
    (third.KeywordPartsLayer, "lstm", "equal", ("x, h0=h, c0=c",)),
    (third.InitHidden, "lstm", "equal", ("init_hidden(batch_size) is called before each call",)),
    (third.ResetState, "rnn", "equal", ("reset_state() is called before each call",)),
    (third.PooledFirst, "lstm", "equal", ("computed with score.weight", "is not compared")),
    (third.PooledGRU, "gru", "different", ("no-reset", "computed with query")),
    (third.MeanFirst, "rnn", "different", ()),
    (third.SummedDirections, "lstm", "different", ("adds the outputs of its two directions",)),
    (third.SummedHand, "rnn", "different", ("2 directions: adds the outputs",)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].__name__)
def test_a_further_published_cell_gets_its_verdict_and_a_reason(case) -> None:
    make, against, verdict, words = case
    report = verify(make, against)
    assert report.verdict == verdict, str(report)
    for each in words:
        assert each in str(report), str(report)
