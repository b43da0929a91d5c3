"""The wrong line: found for any mistake of one line, with what it computes and should compute."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from cell_verifier import Report, verify
from cell_verifier.localisation import locate
from cell_verifier.localisation.bench import GROUPS, SAMPLES, STEPS
from cell_verifier.localisation.slots import arrange
from cell_verifier.localisation.terms import compute_terms
from cell_verifier.reference.equations import Weights
from cell_verifier.reference.kinds import KINDS
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE, draw_probe
from cell_verifier.reference.torch_modules import run_torch_cell
from command_line.load_object import load_object
from tests.cell_verifier.cells.collection import RIGHT, STYLES
from tests.cell_verifier.mutants.further import FURTHER_STYLES, further_mutants
from tests.cell_verifier.mutants.judge import judge, wrong_mutants
from tests.cell_verifier.terminal import as_text


@pytest.fixture(autouse=True)
def no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The result does not depend on the speed of the machine."""
    monkeypatch.setattr(locate, "MAX_SECONDS", math.inf)


def report_on(folder: Path, style: str, right: str, wrong: str) -> tuple[Report, int]:
    """The report on a right cell with one change, and the line of the change."""
    text = STYLES[style].read_text(encoding="utf-8")
    assert text.count(right) == 1
    line = text[: text.index(right)].count("\n") + 1
    path = folder / "my_cell.py"
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    kind = style.partition("_")[0]
    return verify(load_object(f"{path}:My{kind.upper()}"), kind), line


LINES = [
    (
        "lstm_stacked_linear",
        "o * torch.tanh",
        "i * torch.tanh",
        "i ⊙ tanh(c')",
        "h' = o ⊙ tanh(c')",
    ),
    (
        "lstm_stacked_linear",
        "f * c + i * g",
        "f * c - i * g",
        "f ⊙ c - i ⊙ g",
        "c' = f ⊙ c + i ⊙ g",
    ),
    ("lstm_stacked_linear", "f = torch.sigmoid(f)", "f = torch.sigmoid(o)", "o", "f = σ(a_f)"),
    ("lstm_stacked_linear", "f = torch.sigmoid(f)", "f = f", "a_f", "f = σ(a_f)"),
    ("lstm_stacked_linear", "return h_next, c_next", "return h_next, h_next", "h'", "c' = "),
    ("lstm_gate_linears_joined", "f * c +", "f * h +", "f ⊙ h", "f ⊙ c"),
    ("lstm_joined_h_first_layer", "append(h)", "append(c)", "c'", "h' = o ⊙ tanh(c')"),
    ("lstm_joined_h_first_layer", "x[:, t]", "x[:, t - 1]", "x of the step before", "x"),
    ("lstm_three_d_einsum", "o * c.tanh()", "o * c.sigmoid()", "σ(c')", "tanh(c')"),
    ("gru_stacked_linear", "r * hn", "z * hn", "z ⊙ (W_hn h + b_hn)", "r ⊙ (W_hn h + b_hn)"),
    ("gru_fused_rz", "(h - n)", "(n - h)", "-(z ⊙ (h - n))", "z ⊙ (h - n)"),
    ("gru_loose_layer", "H = Z * H +", "H = R * H +", "r ⊙ h", "z ⊙ h"),
    ("rnn_linear_pair", "+ self.h2h", "- self.h2h", "", "a_n = W_in x + b_in + W_hn h + b_hn"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("style", "right", "wrong", "computes", "expected"), LINES)
def test_the_only_location_is_the_changed_line(
    tmp_path: Path, style: str, right: str, wrong: str, computes: str, expected: str
) -> None:
    report, line = report_on(tmp_path, style, right, wrong)
    (location,) = report.locations
    assert (report.verdict, location.line, location.proved) == ("different", line, True)
    assert Path(location.file) == tmp_path / "my_cell.py"
    assert wrong in location.source
    assert computes in location.computes
    assert expected in location.expected


def test_every_mutant_of_one_style_is_located(tmp_path: Path) -> None:
    mutants = wrong_mutants("gru_stacked_linear", tmp_path, count=8)
    outcomes = [judge(mutant, tmp_path, n) for n, mutant in enumerate(mutants)]
    assert [each.lines for each in outcomes] == [(each.line,) for each in mutants]


def test_a_statement_of_several_lines_is_reported_whole(tmp_path: Path) -> None:
    report, line = report_on(
        tmp_path,
        "lstm_stacked_linear",
        "c_next = f * c + i * g",
        "c_next = (\n  f * c\n  + i * o\n )",
    )
    (location,) = report.locations
    assert (location.line, location.end_line) == (line, line + 3)


@pytest.mark.slow
def test_a_helper_used_by_every_gate_is_accused_only_if_it_is_wrong(tmp_path: Path) -> None:
    helper, helper_line = report_on(tmp_path, "lstm_module_dict", "(x) + self", "(x) - self")
    assert [each.line for each in helper.locations] == [helper_line]
    caller, caller_line = report_on(
        tmp_path, "lstm_module_dict", 'self.gate("input", x, h)', 'self.gate("forget", x, h)'
    )
    assert [each.line for each in caller.locations] == [caller_line]


def test_two_independent_mistakes_are_two_locations(tmp_path: Path) -> None:
    text = STYLES["lstm_stacked_linear"].read_text(encoding="utf-8")
    text = text.replace("f * c + i * g", "f * c + i * f").replace(
        "o * torch.tanh", "o + torch.tanh"
    )
    path = tmp_path / "my_cell.py"
    path.write_text(text, encoding="utf-8")
    report = verify(load_object(f"{path}:MyLSTM"), "lstm")
    assert [each.source for each in report.locations] == [
        "c_next = f * c + i * f",
        "h_next = o + torch.tanh(c_next)",
    ]
    assert "torch.nn's values on these lines together" in str(report)


def test_two_mistakes_that_meet_in_a_sum_are_two_locations(tmp_path: Path) -> None:
    text = FURTHER_STYLES["lstm_addmm_unbind"].read_text(encoding="utf-8")
    text = text.replace("forget.sigmoid() * mem", "forget.sigmoid() * hid")
    text = text.replace("enter.sigmoid() * cand", "leave.sigmoid() * cand")
    path = tmp_path / "my_cell.py"
    path.write_text(text, encoding="utf-8")
    report = verify(load_object(f"{path}:MyLSTM"), "lstm")
    assert [(each.computes, each.expected) for each in report.locations] == [
        ("f ⊙ h", "f ⊙ c"),
        ("o", "i = σ(a_i)"),
    ]


def test_swapped_names_in_an_unpacking_are_not_confused_with_a_swapped_update(
    tmp_path: Path,
) -> None:
    unpacking, line = report_on(tmp_path, "lstm_stacked_linear", "i, f, g, o = g", "f, i, g, o = g")
    assert [each.line for each in unpacking.locations] == [line]
    update, line = report_on(tmp_path, "lstm_stacked_linear", "f * c + i * g", "i * c + f * g")
    assert [each.line for each in update.locations] == [line]


FURTHER = [(style, n % 4) for n, style in enumerate(FURTHER_STYLES) if n % 2]


@pytest.mark.slow
@pytest.mark.parametrize(("style", "number"), FURTHER)
def test_further_mutants_are_located(tmp_path: Path, style: str, number: int) -> None:
    mutant = list(further_mutants(style))[number]
    outcome = judge(mutant, tmp_path, number)
    assert (outcome.verdict, outcome.lines) == ("different", (mutant.line,)), outcome.report


def test_a_call_with_exchanged_arguments_is_accused_not_the_function(tmp_path: Path) -> None:
    wrong = [m for m in further_mutants("lstm_einsum_one_weight") if "write, keep, news" in m.wrong]
    outcome = judge(wrong[0], tmp_path, 0)
    assert outcome.lines == (wrong[0].line,), outcome.report


def test_the_right_cells_of_the_further_styles_are_equal() -> None:
    for style, path in list(FURTHER_STYLES.items())[::3]:
        kind = style.partition("_")[0]
        report = verify(load_object(f"{path}:My{kind.upper()}"), kind)  # type: ignore[arg-type]
        assert (report.verdict, report.locations) == ("equal", ()), str(report)


def test_an_equal_module_has_no_location() -> None:
    for case in RIGHT[::10]:
        assert verify(case.make(), case.against).locations == ()


@torch.jit.script
def sine_of_sum(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.sin(a + b)


class Scripted(nn.Module):
    """A wrong cell whose wrong line is TorchScript, which Python does not run line by line."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.i2h = nn.Linear(input_size, hidden_size)
        self.h2h = nn.Linear(hidden_size, hidden_size)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return sine_of_sum(self.i2h(x), self.h2h(h))


def test_without_a_proof_the_report_says_what_agrees() -> None:
    report = verify(Scripted, "rnn")
    assert report.verdict == "different"
    assert report.locations == ()
    assert any(note.startswith("line-unknown: no line can be proved") for note in report.notes)


GRADIENT_LINES = [
    ("gates = self.x2h(x) + self.h2h(h)", "gates = self.x2h(x) + self.h2h(h.detach())", "h"),
    ("f * c + i * g", "f * c.data + i * g", "c"),
    ("        g = torch.tanh(g)", "        with torch.no_grad():\n            g = g.tanh()", "g"),
    ("h_next = o * torch", "h_next = 1 * o.clone().detach() * torch", "o"),
]


@pytest.mark.parametrize(("right", "wrong", "term"), GRADIENT_LINES)
def test_a_line_that_stops_the_gradient_is_located(
    tmp_path: Path, right: str, wrong: str, term: str
) -> None:
    report, line = report_on(tmp_path, "lstm_stacked_linear", right, wrong)
    (location,) = report.locations
    assert (location.line, location.proved) == (line, True)
    assert location.computes == f"{term}, with another gradient than torch.nn's"


def test_a_mistake_that_only_the_train_mode_shows_has_no_location(tmp_path: Path) -> None:
    right, wrong = "return h_next, c_next", "return h_next * (2 if self.training else 1), c_next"
    report, _ = report_on(tmp_path, "lstm_stacked_linear", right, wrong)
    assert (report.verdict, report.locations) == ("different", ())
    assert any("the outputs agree at every step" in note for note in report.notes)


def test_the_report_shows_the_line_as_text_as_json_and_on_a_terminal(tmp_path: Path) -> None:
    report, line = report_on(tmp_path, "lstm_stacked_linear", "o * torch.tanh", "i * torch.tanh")
    text = str(report).splitlines()
    assert text[2] == f"my_cell.py:{line}      h_next = i * torch.tanh(c_next)"
    assert text[3].split() == ["computes", "i", "⊙", "tanh(c')"]
    assert report.as_dict()["locations"][0]["line"] == line
    assert f"my_cell.py:{line}" in as_text(report, width=120)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_the_terms_contain_torchs_values(kind) -> None:
    generator = torch.Generator().manual_seed(0)
    gates = len(kind.gates)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(gates, HIDDEN_SIZE, *shape, generator=generator, dtype=torch.float64)

    peephole = torch.zeros(gates, HIDDEN_SIZE, HIDDEN_SIZE, dtype=torch.float64)
    weights = Weights(draw(INPUT_SIZE), draw(HIDDEN_SIZE), draw(), draw(), peephole)
    probe = draw_probe(kind)
    expected = run_torch_cell(kind, weights, probe)
    named = {term.name: term.values for term in compute_terms(kind, weights, probe).all}
    for part in kind.state:
        torch.testing.assert_close(named[f"{part}'"], expected[part], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "layout",
    [
        lambda v: v,
        lambda v: v.transpose(0, 1),
        lambda v: v.permute(2, 0, 1),
        lambda v: v.flatten(0, 1),
        lambda v: v.unflatten(-1, (2, -1)).permute(2, 0, 1, 3),
        lambda v: v[:, None],
    ],
)
def test_a_term_has_the_layout_of_the_users_tensor(layout) -> None:
    values = torch.randn(STEPS, GROUPS * SAMPLES, 2 * HIDDEN_SIZE)
    wanted = layout(values)
    arranged = arrange(values, wanted.shape)
    assert arranged is not None
    assert torch.equal(arranged, wanted)
