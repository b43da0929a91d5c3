"""The verifier: every style of a right cell, every mistake, and what is no mistake."""

import pytest
import torch
from torch import nn

import builtin_models
import scratch_cells
from cell_verifier import CellDifferentError, Report, verify
from cell_verifier.mistakes.catalogue import CATALOGUE, stages_of, variants, weights_of
from cell_verifier.parameters.names import marks_of, series_by_marks
from cell_verifier.reference.equations import Weights
from cell_verifier.reference.kinds import KINDS
from cell_verifier.reference.probes import HIDDEN_SIZE, INPUT_SIZE, draw_probe
from cell_verifier.reference.simulate import Stack, run_cell, run_layer
from cell_verifier.reference.torch_modules import run_torch_cell, run_torch_layer
from tests.cell_verifier.cells.collection import (
    CASES,
    OUTSIDE,
    RIGHT,
    WRONG,
    Case,
    is_right,
    judged,
)
from tests.cell_verifier.cells.table import PAGE, numbers_hidden, with_output, with_table

IDS = [
    "gate-order",
    "reshape-not-chunk",
    "missing-bias",
    "double-bias",
    "wrong-gate-bias",
    "forget-bias-added",
    "hard-sigmoid",
    "sigmoid-candidate",
    "relu-candidate",
    "added-not-multiplied",
    "swapped-input-forget",
    "coupled-gates",
    "peepholes",
    "tanh-stored-cell",
    "missing-output-tanh",
    "tanh-after-output-gate",
    "output-from-old-cell",
    "state-order",
    "cell-not-carried",
    "hidden-not-carried",
    "reset-before-matmul",
    "reset-outside-bias",
    "reset-over-everything",
    "no-reset",
    "swapped-update",
    "untransposed-recurrent",
    "wrong-nonlinearity",
    "batch-time-mixup",
    "view-not-transpose",
    "reverse-not-flipped",
    "separate-direction-stacks",
    "state-layout",
    "shared-initial-state",
    "first-layer-input",
    "dropout-on-last-layer",
    "detached-state",
    "state-not-used",
]


def name(case: Case) -> str:
    return "-".join([case.style, *case.mistakes])


# ------------------------------------------------------------------------------- the collection


@pytest.mark.parametrize("case", CASES, ids=name)
def test_says_of_each_cell_what_is_so_and_nothing_else(case: Case) -> None:
    report = judged(case)
    assert (report.verdict, report.mistakes) == (case.verdict, case.mistakes), str(report)
    assert report.seconds < 10


def test_every_id_of_the_catalogue_has_cells_in_two_styles() -> None:
    assert sorted(CATALOGUE) == sorted(IDS)
    for mistake in IDS:
        assert len({case.style for case in WRONG if case.mistakes == (mistake,)}) >= 2, mistake


def test_right_cells_are_many_and_import_nothing_of_this_project() -> None:
    assert len(RIGHT) >= 12
    for case in RIGHT:
        for package in ("scratch_cells", "builtin_models", "cell_verifier", "shared_interface"):
            assert package not in case.source()


def test_cells_outside_the_catalogue_are_several() -> None:
    assert len(OUTSIDE) >= 6


def test_the_page_shows_what_the_verifier_says_of_its_cells() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("```text") == 3
    assert numbers_hidden(page) == numbers_hidden(with_output(page))


def test_the_page_shows_the_table_of_this_run() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_table(page), (
        "PYTHONPATH=.:tests python -m tests.cell_verifier.cells.table writes it"
    )


@pytest.mark.parametrize("library", [nn, scratch_cells, builtin_models], ids=lambda m: m.__name__)
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("suffix", ["", "Cell"])
def test_torch_and_this_project_are_equal(library, kind, suffix) -> None:  # type: ignore[no-untyped-def]
    report = verify(getattr(library, kind.upper() + suffix), kind)
    assert report.verdict == "equal", str(report)
    assert all(check.passed for check in report.checks), str(report)


# ----------------------------------------------------------------------------------- the algebra


def draw_weights(kind: str, input_size: int = INPUT_SIZE) -> Weights:
    gates = len(KINDS[kind].gates)
    generator = torch.Generator().manual_seed(11)
    shapes = [(input_size,), (HIDDEN_SIZE,), (), ()]
    drawn = [
        torch.randn(gates, HIDDEN_SIZE, *shape, generator=generator, dtype=torch.float64)
        for shape in shapes
    ]
    peephole = torch.randn(
        gates, HIDDEN_SIZE, HIDDEN_SIZE, generator=generator, dtype=torch.float64
    )
    return Weights(*drawn, peephole)


def apart(one, other) -> float:  # type: ignore[no-untyped-def]
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_the_algebra_without_mistakes_is_torchs(kind: str) -> None:
    weights = draw_weights(kind)
    probe = draw_probe(KINDS[kind])
    ours, theirs = (
        run_cell(KINDS[kind], weights, probe, {}),
        run_torch_cell(KINDS[kind], weights, probe),
    )
    assert apart(ours, theirs) < 1e-12


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("dropout", [0.0, 1.0])
def test_the_algebra_of_a_stack_is_torchs(kind: str, dropout: float) -> None:
    stack = Stack(layers=2, directions=2, dropout=dropout)
    sizes = [INPUT_SIZE, INPUT_SIZE, 2 * HIDDEN_SIZE, 2 * HIDDEN_SIZE]
    weights = [draw_weights(kind, size) for size in sizes]
    probe = draw_probe(KINDS[kind], cells=4)
    ours = run_layer(KINDS[kind], weights, probe, {}, stack)
    theirs = run_torch_layer(KINDS[kind], weights, probe, stack, training=True)
    assert apart(ours, theirs) < 1e-12


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_no_two_mistakes_in_a_step_are_the_same_function(kind: str) -> None:
    """Each way to make each mistake gives numbers of its own, so that a match names one."""
    weights, probe = draw_weights(kind), draw_probe(KINDS[kind])
    shown = {
        f"{each.id}: {each.change.detail}": run_cell(
            KINDS[kind], weights_of((each,), weights), probe, stages_of((each,))
        )
        for each in variants(kind, "step", "edge")
    }
    shown["torch.nn"] = run_torch_cell(KINDS[kind], weights, probe)
    names = list(shown)
    for n, one in enumerate(names):
        for other in names[:n]:
            assert apart(shown[one], shown[other]) > 1e-4, (one, other)


# ----------------------------------------------------------------------------------- the weights


class GateLinears(nn.Module):
    """An LSTM cell whose gates are as ``roles`` says, whatever their names are."""

    roles = "ifgo"

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        for letter in "ifgo":
            setattr(self, f"W_{letter}", nn.Linear(input_size + hidden_size, hidden_size))

    def forward(self, x, state):  # type: ignore[no-untyped-def]
        h, c = state
        i, f, g, o = (getattr(self, f"W_{k}")(torch.cat([x, h], 1)) for k in self.roles)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class ExchangedNames(GateLinears):
    roles = "figo"


def test_separate_gates_are_found_by_trying_and_misleading_names_are_noted() -> None:
    report = verify(ExchangedNames, "lstm")
    assert report.verdict == "equal"
    assert report.weights["W_f.weight"] == "weight_ih[input] | weight_hh[input]"
    assert any(note.startswith("roles: W_f.weight") for note in report.notes)
    assert not any(note.startswith("roles") for note in verify(GateLinears, "lstm").notes)


def test_given_weights_are_taken_at_their_word() -> None:
    gates = {"W_i": "input", "W_f": "forget", "W_g": "candidate", "W_o": "output"}
    weights = {
        f"{name}.weight": f"weight_ih[{gate}] | weight_hh[{gate}]" for name, gate in gates.items()
    } | {f"{name}.bias": f"bias_ih[{gate}]" for name, gate in gates.items()}
    assert verify(GateLinears, "lstm", weights=weights).verdict == "equal"
    exchanged = verify(ExchangedNames, "lstm", weights=weights)
    assert exchanged.mistakes == ("swapped-input-forget",)
    assert exchanged.weights == weights


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"nowhere": "weight_ih"}, "is no parameter"),
        ({"W_i.weight": "kernel"}, "expected weight_ih"),
        ({"W_i.weight": "weight_ih[left]"}, "gate 'left'"),
        ({"W_i.weight": "weight_ih"}, "which its shape"),
    ],
)
def test_given_weights_that_do_not_fit_are_refused(weights: dict[str, str], words: str) -> None:
    report = verify(GateLinears, "lstm", weights=weights)
    assert report.verdict == "unchecked"
    assert words in report.reason


class Scrambled(nn.Module):
    """An LSTM cell with all its weights in one vector, which only it can load."""

    wrong = 1.0

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.sizes = input_size, hidden_size
        self.shapes = [(4 * hidden_size, input_size), (4 * hidden_size, hidden_size)]
        self.shapes += [(4 * hidden_size,)] * 2
        self.flat = nn.Parameter(torch.randn(sum(torch.Size(s).numel() for s in self.shapes)))

    def load_from_torch(self, module: nn.Module) -> None:
        with torch.no_grad():
            self.flat.copy_(torch.cat([part.flatten() for part in module.parameters()]))

    def forward(self, x, state):  # type: ignore[no-untyped-def]
        parts = self.flat.split([torch.Size(s).numel() for s in self.shapes])
        weights = [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]
        h, c = torch.lstm_cell(x, state, *weights)
        return self.wrong * h, c


class ScrambledAndWrong(Scrambled):
    wrong = 0.5


def test_load_from_torch_serves_where_no_correspondence_can_be_found() -> None:
    assert verify(Scrambled, "lstm").verdict == "equal"
    report = verify(ScrambledAndWrong, "lstm")
    assert (report.verdict, report.mistakes) == ("different", ())


class TensorWeights(nn.Module):
    """Weights that are no parameters."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.w = torch.randn(hidden_size, input_size + hidden_size)

    def forward(self, x, h):  # type: ignore[no-untyped-def]
        return torch.tanh(torch.cat([x, h], 1) @ self.w.T)


def test_without_a_correspondence_it_says_what_was_tried_and_what_to_add() -> None:
    report = verify(TensorWeights, "rnn")
    assert report.verdict == "unchecked"
    for words in ("joined", "weights={", "load_from_torch", "nn.Parameter"):
        assert words in report.reason


class Extra(nn.RNNCell):
    """A right RNN cell with a parameter more."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.slope = nn.Parameter(torch.ones(1))

    def forward(self, x, h):  # type: ignore[no-untyped-def, override]
        return self.slope * super().forward(x, h)


def test_a_parameter_beyond_torchs_is_a_difference_where_the_rest_is_explained() -> None:
    report = verify(Extra, "rnn")
    assert (report.verdict, report.mistakes) == ("different", ())
    assert "slope" in report.reason


# -------------------------------------------------------------------------------- the report


def case(mistake: str, style: str) -> Report:
    return judged(next(c for c in WRONG if c.mistakes == (mistake,) and c.style == style))


def test_a_pair_of_mistakes_is_named() -> None:
    changes = (
        ("o * torch.tanh(c_next)", "o * c_next"),
        ("i, f, g, o = gates", "i, f, o, g = gates"),
    )
    pair = Case("lstm_stacked_linear", "different", ("missing-output-tanh", "gate-order"), changes)
    assert is_right(pair), str(judged(pair))


def test_the_order_of_the_gates_is_said() -> None:
    (diagnosis,) = case("gate-order", "lstm_stacked_linear").diagnoses
    assert diagnosis.detail == "rows are read as i, f, o, g"


def test_it_says_where_the_difference_begins() -> None:
    report = case("missing-output-tanh", "lstm_stacked_linear")
    first = report.first_difference
    assert first is not None
    assert (first.of, first.step, first.gate) == ("h", 0, "output")
    assert abs(first.got - first.expected) > 1e-6
    hidden = case("cell-not-carried", "lstm_conv1d").first_difference
    assert hidden is not None
    assert hidden.step == 1  # from a zero state the first step is right


def test_an_unknown_difference_names_the_gates_that_it_depends_on() -> None:
    changes = (("(1 - z) * n + z * h", "(1 - z) * n + h"),)
    first = judged(Case("gru_stacked_linear", "different", (), changes)).first_difference
    assert first is not None
    assert first.depends_on == ("update",)


def test_detached_state_passes_every_number_and_fails_the_gradients() -> None:
    report = case("detached-state", "gru_loose_layer")
    assert [check.name for check in report.checks if check.passed is False] == ["gradients"]


@pytest.mark.parametrize(
    ("style", "note"),
    [
        ("lstm_gate_linears_joined", "merged-bias"),
        ("lstm_module_dict", "linear-init"),
        ("lstm_state_list_no_bias", "no-bias"),
        ("lstm_conv1d", "no-initial-state"),
        ("gru_float32_zeros", "float32-only"),
        ("lstm_cell_unused_head", "unused"),
    ],
)
def test_what_is_no_mistake_is_a_note(style: str, note: str) -> None:
    assert note in [each.partition(":")[0] for each in judged(Case(style, "equal")).notes]
    assert not judged(Case("lstm_torch_names", "equal")).notes


def test_raise_if_different_shows_the_report() -> None:
    verify(nn.LSTM, against="lstm").raise_if_different()
    with pytest.raises(CellDifferentError, match="missing-output-tanh"):
        case("missing-output-tanh", "lstm_stacked_linear").raise_if_different()


def test_verify_leaves_the_callers_settings_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    with torch.no_grad():
        verify(scratch_cells.LSTMCell, "lstm").raise_if_different()
    assert torch.equal(torch.rand(1), expected)
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


def test_against_must_be_one_of_three() -> None:
    with pytest.raises(ValueError, match="against is 'gated'"):
        verify(nn.LSTM, against="gated")  # type: ignore[arg-type]


class Raises(nn.Module):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.w = nn.Linear(input_size, hidden_size)

    def forward(self, x, h):  # type: ignore[no-untyped-def]
        return torch.tanh(self.w(x) + self.unknown(h))


def refuses_to_construct(input_size: int, hidden_size: int) -> nn.Module:
    raise KeyError("units")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Raises, "'unknown'"),
        (refuses_to_construct, "KeyError: 'units'"),
        (lambda i, h: "no module", "gives a str"),
        (lambda: None, "does not construct"),
    ],
)
def test_what_cannot_run_is_unchecked_with_its_own_error(make, words: str) -> None:  # type: ignore[no-untyped-def]
    report = verify(make, "rnn")
    assert report.verdict == "unchecked"
    assert words in report.reason
    assert "\n" not in report.reason
    if make is not (lambda: None) and "test_api" not in report.reason:
        assert "gives" in report.reason or "construct" in report.reason


# ------------------------------------------------------------- checks that stand alone, or nearly


class FrozenInPassing(nn.RNNCell):
    """Right numbers; no gradient arrives at one weight."""

    def forward(self, x, h):  # type: ignore[no-untyped-def, override]
        recurrent = nn.functional.linear(h, self.weight_hh.detach(), self.bias_hh)
        return torch.tanh(nn.functional.linear(x, self.weight_ih, self.bias_ih) + recurrent)


def test_a_gradient_that_does_not_arrive_is_a_difference() -> None:
    report = verify(FrozenInPassing, "rnn")
    failed = [check for check in report.checks if check.passed is False]
    assert [check.name for check in failed] == ["gradients"]
    assert failed[0].detail == "wrong for weight_hh"
    assert report.mistakes == ()


class Overwrites(nn.RNNCell):
    """Right numbers; the caller's input is spoilt."""

    def forward(self, x, h):  # type: ignore[no-untyped-def, override]
        new = super().forward(x.clone(), h)
        x.detach().add_(1.0)
        return new


def test_an_input_that_is_changed_is_a_difference() -> None:
    report = verify(Overwrites, "rnn")
    failed = [check.name for check in report.checks if check.passed is False]
    assert failed == ["gradients", "inputs kept"]  # autograd refuses what is changed in place
    assert report.mistakes == ()


class Remembers(nn.RNN):
    """Right numbers, but for an input after one of another batch size."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.small_seen = False

    def forward(self, x, h=None):  # type: ignore[no-untyped-def, override]
        output, state = super().forward(x, h)
        output = output * 1.1 if self.small_seen else output
        self.small_seen = x.size(1) == 2
        return output, state


def test_memory_between_calls_is_a_difference() -> None:
    report = verify(Remembers, "rnn")
    assert [check.name for check in report.checks if check.passed is False] == ["no memory"]


class BatchAxisInFront(nn.Module):
    """A batch-first layer whose states are (B, 1, H)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(input_size, hidden_size)

    def forward(self, x, h):  # type: ignore[no-untyped-def]
        h, hs = h[:, 0], []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            hs.append(h)
        return torch.stack(hs, 1), h[:, None]


def test_states_may_have_the_batch_axis_in_front() -> None:
    assert verify(BatchAxisInFront, "gru").verdict == "equal"


def test_names_that_differ_in_the_mark_only_belong_together_in_any_order() -> None:
    marks = marks_of(["x.i.w", "x.f.w", "x.o.w"])
    assert marks == ["i", "f", "o"]
    assert series_by_marks(["h.o.w", "h.i.w", "h.f.w", "p.i.w"], marks) == [
        ("h.i.w", "h.f.w", "h.o.w")
    ]
