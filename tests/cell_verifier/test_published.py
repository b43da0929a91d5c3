"""Cells as people publish them: one of each kind that is hard to judge, and another of each."""

import pytest
from torch import nn

from cell_verifier import Report, verify
from cell_verifier.reference.kinds import Against
from tests.cell_verifier.cells.published import first, second

# Class, what it is compared with, verdict, mistakes, words that the report contains
CASES: list[tuple[type[nn.Module], Against, str, tuple[str, ...], tuple[str, ...]]] = [
    # only a part of the final state is returned, or the state is not accepted
    (first.LastStateOnly, "lstm", "different", (), ("2 layers", "shape (2, B, H)")),
    (first.LastStateOnlyGiven, "rnn", "different", (), ("2 layers", "shape (2, B, H)")),
    (first.FirstDirectionOnly, "rnn", "different", (), ("2 directions", "shape (2, B, H)")),
    (second.LastLayerFlat, "gru", "different", (), ("2 layers", "shape (2, B, H)")),
    (second.BackwardStateMissing, "lstm", "different", (), ("2 directions", "shape (2, B, H)")),
    (first.RaisesGivenState, "rnn", "different", (), ("initial state", "first.py:", "TypeError")),
    (second.RaisesGivenPair, "lstm", "different", (), ("initial state", "second.py:", "mat1")),
    # the constructor raises
    (first.DrawnInPlace, "rnn", "unchecked", (), ("DrawnInPlace(8, 6) raises", "first.py:")),
    (second.SetInPlace, "rnn", "unchecked", (), ("SetInPlace(8, 6) raises", "second.py:")),
    # further arguments, output layers
    (first.WantsThird, "rnn", "equal", (), ("classes=5", "head: the output with top.weight")),
    (second.Tagger, "gru", "equal", (), ("num_classes=5", "device=cpu", "head: ")),
    (second.UnclearArgument, "gru", "unchecked", (), ("--args flavour=VALUE", "arguments={")),
    (first.Headed, "rnn", "equal", (), ("head: the output with top.weight, top.bias",)),
    (second.SameWidthHead, "lstm", "equal", (), ("head: the output with top.weight, top.bias",)),
    (first.HeadedLayer, "rnn", "equal", (), ("head: the output with top.weight, top.bias",)),
    (second.HeadedLSTMLayer, "lstm", "equal", (), ("head: the output with top.weight",)),
    (first.WantsDevice, "rnn", "equal", (), ("device=cpu",)),
    (second.CudaByDefault, "lstm", "equal", (), ("device=cpu",)),
    (first.TurnedSizes, "rnn", "equal", (), ()),
    # parameters of unexpected shapes
    (first.CrashPeep, "lstm", "unchecked", (), ("do not match torch.nn's",)),
    (second.FourVectors, "gru", "different", (), ("cause unknown",)),
    (first.CrashNone, "lstm", "equal", (), ("bias=False",)),
    (second.EmptyBias, "rnn", "equal", (), ("bias=False",)),
    (first.CrashArrange, "lstm", "equal", (), ("passed   2 layers",)),
    (second.PerGateLists, "gru", "equal", (), ("passed   2 layers", "passed   3 layers")),
    # other defaults than torch.nn's
    (first.BothByDefault, "rnn", "equal", (), ("bidirectional=False", "passed   2 directions")),
    (second.TwoLayersByDefault, "gru", "equal", (), ("num_layers=1, dropout=0.0",)),
    (first.BothAlways, "rnn", "unchecked", (), ("always has two directions",)),
    (second.AlwaysBothDirections, "lstm", "unchecked", (), ("always has two directions",)),
    # the error that is shown
    (first.MisspeltName, "lstm", "unchecked", (), ("first.py:", "AttributeError", "'hh'")),
    (second.UndefinedVariable, "rnn", "unchecked", (), ("second.py:", "NameError", "'hidden'")),
    (first.MisspeltOption, "lstm", "different", (), ("bias=False", "first.py:", "addmm()")),
    (second.NoBiasRaises, "rnn", "different", (), ("bias=False", "second.py:", "NoneType")),
    # more than a cell
    (second.SentenceClassifier, "lstm", "equal", (), ("its part 'rnn'", "put aside: embed, fc")),
    (second.DigitClassifier, "gru", "different", ("no-reset",), ("put aside: out",)),
    (second.TokensOnly, "rnn", "unchecked", (), ("an embedding, embed", "pass a function")),
    (second.NotRecurrent, "rnn", "unchecked", (), ("nothing with the shape of a state",)),
    (second.WrongShapeLayer, "gru", "unchecked", (), ("nothing with the shape of a state",)),
    # how the state is passed
    (first.HAlone, "lstm", "different", ("gate-order",), ("h-only",)),
    (second.HAloneLayers, "lstm", "equal", (), ("h-only",)),
    (first.OneStep3D, "gru", "different", ("reset-before-matmul",), ("one time step",)),
    (second.OneStepBatchFirst, "lstm", "equal", (), ("x (B, 1, I) and states (1, B, H)",)),
    (first.PerLayerPairs, "lstm", "equal", (), ("x, [(h, c)]", "passed   2 layers")),
    (second.ListOfH, "gru", "equal", (), ("x, [h]", "passed   2 layers")),
    (first.Keeps, "lstm", "unchecked", (), ("keeps its state between calls",)),
    (second.KeepsInBuffer, "gru", "different", (), ("keeps values from one call",)),
    # what torch.nn does not compute
    (first.OwnNorm, "lstm", "different", (), ("no normalization layer",)),
    (first.ScriptNorm, "lstm", "different", (), ("no normalization layer",)),
    (second.NormInForward, "rnn", "different", (), ("no normalization layer", ": g, d")),
    (second.FunctionalNorm, "gru", "different", (), ("no normalization layer",)),
    (first.DrawsStart, "lstm", "different", (), ("draws random numbers",)),
    (second.DropsInEval, "gru", "different", (), ("draws random numbers",)),
    # mistakes with a name
    (first.TwoCopied, "lstm", "different", ("wrong-gate-bias",), ("gates add",)),
    (second.ThreeCopied, "gru", "different", ("wrong-gate-bias",), ("gates add",)),
    (first.GateShown, "lstm", "different", ("state-order",), ("FAILED   returned output",)),
    (second.CFirst, "lstm", "different", ("state-order",), ("FAILED   returned output",)),
    (first.SharedStart, "rnn", "different", ("shared-initial-state",), ("2 layers",)),
    (second.SharedStartLSTM, "lstm", "different", ("shared-initial-state",), ("2 layers",)),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].__name__)
def test_a_published_cell_gets_its_verdict_its_mistakes_and_its_reason(case) -> None:
    make, against, verdict, mistakes, words = case
    report: Report = verify(make, against)
    assert (report.verdict, report.mistakes) == (verdict, mistakes), str(report)
    for each in words:
        assert each in str(report), str(report)
    assert report.seconds < 10
