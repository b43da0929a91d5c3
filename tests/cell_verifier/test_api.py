"""``verify``: its arguments, its errors and what it leaves unchanged."""

import pytest
import torch
from torch import nn

import builtin_models
import scratch_cells
from cell_verifier import verify


@pytest.mark.parametrize("library", [nn, scratch_cells, builtin_models], ids=lambda m: m.__name__)
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("suffix", ["", "Cell"])
def test_cells_and_layers_of_torch_and_of_this_project_are_equal(library, kind, suffix) -> None:
    report = verify(getattr(library, kind.upper() + suffix), kind)
    assert report.verdict == "equal", str(report)
    assert all(check.passed for check in report.checks), str(report)


def test_the_callers_settings_are_restored() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    with torch.no_grad():
        verify(scratch_cells.LSTMCell, "lstm").raise_if_different()
    assert torch.equal(torch.rand(1), expected)
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


def test_what_the_users_code_prints_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    class Prints(nn.RNNCell):
        def forward(self, x, h=None):
            print("x is", x.shape)
            return super().forward(x, h)

    verify(Prints, "rnn").raise_if_different()
    assert capsys.readouterr().out == ""


def test_arguments_replace_those_that_are_filled_in() -> None:
    def make(input_size: int, hidden_size: int, bias: bool, flavour: str) -> nn.Module:
        assert flavour == "mint"
        return nn.GRUCell(input_size, hidden_size, bias)

    report = verify(make, "gru", arguments={"flavour": "mint"})
    assert report.verdict == "equal"
    assert "arguments: compared with bias=True, flavour=mint" in report.notes


def test_an_unexpected_error_of_the_verifier_is_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> None:
        raise IndexError("too far")

    monkeypatch.setattr("cell_verifier.api.identify", fails)
    report = verify(nn.RNNCell, "rnn")
    assert report.verdict == "unchecked"
    assert "the verification failed, not the module: test_api.py:" in report.reason
    assert "IndexError: too far" in report.reason


def test_an_unknown_recurrence_raises_value_error() -> None:
    with pytest.raises(ValueError, match="against is 'gated'"):
        verify(nn.LSTM, against="gated")


class Raises(nn.Module):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.w = nn.Linear(input_size, hidden_size)

    def forward(self, x, h):
        return torch.tanh(self.w(x) + self.unknown(h))


def raises_in_constructor(input_size: int, hidden_size: int) -> nn.Module:
    raise KeyError("units")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Raises, ["Raises.forward raises", "test_api.py:", "'unknown'"]),
        (raises_in_constructor, ["raises_in_constructor(8, 6) raises", "KeyError: 'units'"]),
        (lambda i, h: "no module", ["returns a str", "expected an nn.Module"]),
        (lambda: None, ["<lambda>(8, 6) raises", "TypeError"]),
    ],
)
def test_a_module_that_cannot_run_is_unchecked_with_its_own_error(make, words: list[str]) -> None:
    report = verify(make, "rnn")
    assert report.verdict == "unchecked"
    for each in words:
        assert each in report.reason
    assert "\n" not in report.reason
