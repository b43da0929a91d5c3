"""A cell as one operator, under torch.compile, torch.export and torch.jit.trace."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

import scratch_cells
from scratch_cells.backends.custom_operator import sequence, sequence_gradient
from scratch_cells.recurrent_stack import RecurrentStack
from tests.helpers.paths import ROOT

KINDS = ("RNN", "GRU", "LSTM")
EXACT = {"rtol": 1e-12, "atol": 1e-12}
TRACE_IS_DEPRECATED = "ignore::FutureWarning", "ignore::DeprecationWarning"
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def forget_compiled_code() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def build(kind: str, **options: Any) -> RecurrentStack:
    torch.manual_seed(0)
    layer: RecurrentStack = getattr(scratch_cells, kind)(3, 4, dtype=torch.float64, **options)
    return layer


def parts(state: Any) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def values_and_gradients(call: Callable[..., Any], layer: nn.Module, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    output, state = call(x)
    loss = output.sin().sum() + sum((part * part).sum() for part in parts(state))
    return [output, *parts(state), *torch.autograd.grad(loss, [x, *layer.parameters()])]


def assert_same(ours: list[Tensor], right: list[Tensor]) -> None:
    for got, expected in zip(ours, right, strict=True):
        torch.testing.assert_close(got, expected, **EXACT)


# The operator itself


@pytest.mark.parametrize("kind", ["rnn_tanh", "rnn_relu", "gru", "lstm"])
@pytest.mark.parametrize("backend", ["auto", "bptt"])
@pytest.mark.parametrize("save", [False, True])
def test_the_operator_is_registered_as_torch_demands(kind: str, backend: str, save: bool) -> None:
    """Schema, fake implementation and gradient, by torch's own checks."""
    gates = {"lstm": 4, "gru": 3}.get(kind, 1)
    w_ih, w_hh = torch.randn(gates * 4, 3), torch.randn(gates * 4, 4)
    b = torch.randn(gates * 4)
    state = [torch.randn(2, 4) for _ in range(2 if kind == "lstm" else 1)]
    operands = [torch.randn(5, 2, 3), w_ih, w_hh, b]
    for operand in [*operands, *state]:
        operand.requires_grad_()
    arguments = (*operands, None, state, f"{kind} {backend}", True, save)
    utilities = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(sequence, arguments, test_utils=utilities)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"w_hh": torch.randn(4, 5)}, "shape"),
        ({"w_ih": torch.randn(4, 3, dtype=torch.float64)}, "float64"),
        ({"state": [torch.randn(3, 4)]}, "the hidden state has shape"),
        ({"state": []}, "parts"),
        ({"b_ih": torch.randn(3)}, "input_to_hidden.bias has shape"),
        ({"w_hh": torch.randn(4, 4, device="meta")}, "same device"),
        (
            {
                "input": torch.randn(5, 2, 3).half(),
                "w_ih": torch.randn(4, 3).half(),
                "w_hh": torch.randn(4, 4).half(),
                "state": [torch.randn(2, 4).half()],
            },
            "float16",
        ),
    ],
)
def test_the_operator_raises_for_operands_that_do_not_fit(change: Any, words: str) -> None:
    operands = {"input": torch.randn(5, 2, 3), "w_ih": torch.randn(4, 3)}
    operands |= {"w_hh": torch.randn(4, 4), "b_ih": None, "b_hh": None}
    operands |= {"state": [torch.randn(2, 4)]} | change
    with pytest.raises(RuntimeError, match=words):
        sequence(**operands, kernel="rnn_tanh auto", reverse=False, save=False)


def arguments_of_gradient() -> dict[str, Any]:
    """Arguments of ``sequence_gradient`` for a GRU of T = 5, B = 2, I = 3, H = 4."""
    torch.manual_seed(0)
    operands: dict[str, Any] = {"input": torch.randn(5, 2, 3), "w_ih": torch.randn(12, 3)}
    operands |= {"w_hh": torch.randn(12, 4), "b_ih": None, "b_hh": None}
    operands |= {"state": [torch.randn(2, 4)], "kernel": "gru auto", "reverse": False}
    _, _, *saved = sequence(**operands, save=True)
    returned = [torch.randn(5, 2, 4), torch.randn(2, 4)]
    return operands | {"d_returned": returned, "saved": saved, "needs_input": True}


@pytest.mark.parametrize(
    ("name", "index", "value"),
    [
        ("w_hh", None, torch.randn(12, 5)),
        ("state", 0, torch.randn(3, 4)),
        ("input", None, torch.randn(5, 2, 3).bfloat16()),
        ("d_returned", 0, torch.randn(4, 2, 4)),
        ("d_returned", 1, torch.randn(2, 4, dtype=torch.float64)),
        ("d_returned", 1, torch.randn(2, 4, device="meta")),
        ("saved", 0, torch.randn(5, 2, 4)),
        ("saved", 1, torch.randn(5, 2, 11)),
        ("saved", 2, torch.randn(5, 2, 4).to_sparse()),
    ],
)
def test_the_gradient_raises_for_tensors_that_do_not_fit(
    name: str, index: int | None, value: Tensor
) -> None:
    arguments = arguments_of_gradient()
    assert len(sequence_gradient(**arguments)) == 4  # of x, W_ih, W_hh and the state
    if index is None:
        arguments[name] = value
    else:
        arguments[name][index] = value
    with pytest.raises((RuntimeError, NotImplementedError)):
        sequence_gradient(**arguments)


# torch.compile


DRAWN = {
    "input_size": st.integers(1, 6),
    "hidden_size": st.integers(1, 9),
    "layers": st.integers(1, 2),
    "bidirectional": st.booleans(),
    "bias": st.booleans(),
    "batch_first": st.booleans(),
}
"""What the property tests draw; to record a program takes seconds, so they do not shrink."""

few_examples = settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def draw_layer(kind: str, sizes: tuple[int, int], layers: int, **options: bool) -> RecurrentStack:
    torch.manual_seed(layers)
    layer: RecurrentStack = getattr(scratch_cells, kind)(
        *sizes, num_layers=layers, dtype=torch.float64, **options
    )
    return layer


def draw_input(layer: RecurrentStack, batch: int, time: int) -> Tensor:
    shape = (batch, time) if layer.batch_first else (time, batch)
    return torch.randn(*shape, layer.input_size, dtype=torch.float64)


@pytest.mark.slow
@each_kind
@few_examples
@given(**DRAWN, run_at=st.lists(st.integers(10, 40), min_size=3, max_size=3))
def test_a_compiled_layer_is_right_at_every_length_without_recompilation(
    kind: str,
    input_size: int,
    hidden_size: int,
    layers: int,
    bidirectional: bool,
    bias: bool,
    batch_first: bool,
    run_at: list[int],
) -> None:
    """The sizes of the first input differ: torch takes equal ones for one size."""
    options = {"bidirectional": bidirectional, "bias": bias, "batch_first": batch_first}
    layer = draw_layer(kind, (input_size, hidden_size), layers, **options)
    torch.compiler.reset()
    counter, counts = CompileCounterWithBackend("aot_eager"), set()
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend=counter)
    for batch, time in zip((7, 2, 3), run_at, strict=True):
        x = draw_input(layer, batch, time)
        assert_same(values_and_gradients(compiled, layer, x), values_and_gradients(layer, layer, x))
        counts.add(counter.frame_count)
    assert len(counts) == 1


@each_kind
def test_a_compiled_layer_without_gradient_is_right(kind: str) -> None:
    layer = build(kind, bias=False)
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    with torch.no_grad():
        for time in (1, 6):
            x = torch.randn(time, 2, 3, dtype=torch.float64)
            assert_same([compiled(x)[0]], [layer(x)[0]])


@pytest.mark.parametrize("change", ["hook", "step", "own cell"])
def test_a_changed_cell_is_compiled_as_it_is(change: str) -> None:
    class Doubled(scratch_cells.GRUCell):
        def update(self, gates: Any, h: Tensor) -> Tensor:
            return 2 * super().update(gates, h)

    layer = build("GRU")
    if change == "hook":
        layer.cells[0].hidden_to_hidden.register_forward_hook(lambda *given: 2 * given[-1])
    elif change == "step":
        layer.cells[0].step = lambda projected, h: projected[:, :4] + h  # type: ignore[method-assign]
    else:
        layer = scratch_cells.layer_of(Doubled)(3, 4, dtype=torch.float64)
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    x = torch.randn(3, 2, 3, dtype=torch.float64)
    assert_same([compiled(x)[0]], [layer(x)[0]])


# torch.export


@pytest.mark.slow
@each_kind
@few_examples
@given(
    **DRAWN,
    exported_at=st.integers(2, 6),
    run_at=st.lists(st.integers(1, 30), min_size=1, max_size=3),
)
def test_an_exported_layer_is_right_at_every_length_and_batch(
    kind: str,
    input_size: int,
    hidden_size: int,
    layers: int,
    bidirectional: bool,
    bias: bool,
    batch_first: bool,
    exported_at: int,
    run_at: list[int],
) -> None:
    options = {"bidirectional": bidirectional, "bias": bias, "batch_first": batch_first}
    layer = draw_layer(kind, (input_size, hidden_size), layers, **options)
    program = export(layer, exported_at, batch_first)
    for time in (1, 2048 if layers == 1 else 2, *run_at):
        for batch in (1, 3):
            x = draw_input(layer, batch, time)
            output, state = program.module()(x)
            right, right_state = layer(x)
            assert_same([output, *parts(state)], [right, *parts(right_state)])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="AOTInductor needs a C++ compiler")
def test_a_package_of_an_exported_layer_is_right_at_every_length(tmp_path: Path) -> None:
    layer = build("GRU", bidirectional=True)
    with torch.no_grad():
        program = export(layer, 4)
    package = torch._inductor.aoti_compile_and_package(
        program, package_path=str(tmp_path / "layer.pt2")
    )
    run = torch._inductor.aoti_load_package(package)
    for time, batch in ((4, 2), (1, 1), (300, 3)):
        x = torch.randn(time, batch, 3, dtype=torch.float64)
        assert_same([run(x)[0]], [layer(x)[0].detach()])


def export(layer: nn.Module, time: int, batch_first: bool = False) -> torch.export.ExportedProgram:
    T, B = torch.export.Dim("T", min=1, max=4096), torch.export.Dim("B", min=1)  # noqa: N806
    size = int(getattr(layer, "input_size", 3))
    x = torch.randn((2, time, size) if batch_first else (time, 2, size), dtype=torch.float64)
    return torch.export.export(
        layer, (x,), dynamic_shapes=({0: B, 1: T} if batch_first else {0: T, 1: B},)
    )


def test_the_size_of_an_exported_program_does_not_depend_on_the_length() -> None:
    sizes = {len(export(build("LSTM"), time).graph.nodes) for time in (2, 50)}
    assert len(sizes) == 1


def test_an_exported_layer_can_be_trained() -> None:
    layer = build("LSTM", num_layers=2)
    module = export(layer, 5).module()
    x = torch.randn(7, 3, 3, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    output, _ = module(leaf)
    output.sin().sum().backward()
    right = x.clone().requires_grad_()
    layer(right)[0].sin().sum().backward()
    assert leaf.grad is not None
    assert right.grad is not None
    torch.testing.assert_close(leaf.grad, right.grad, **EXACT)
    for name, weight in layer.named_parameters():
        torch.testing.assert_close(module.get_parameter(name).grad, weight.grad, **EXACT)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", *TRACE_IS_DEPRECATED)
def test_exported_and_traced_programs_run_in_a_new_process(tmp_path: Path) -> None:
    layer = build("GRU", bidirectional=True)
    torch.export.save(export(layer, 4), tmp_path / "layer.pt2")
    example = torch.randn(4, 2, 3, dtype=torch.float64)
    torch.jit.trace(layer, example).save(tmp_path / "layer.pt")
    x = torch.randn(17, 5, 3, dtype=torch.float64)
    torch.save({"x": x, "right": layer(x)[0]}, tmp_path / "case.pt")
    code = (
        "import sys, torch, scratch_cells\n"
        "exported, traced, case = sys.argv[1:]\n"
        "case = torch.load(case)\n"
        "for program in (torch.export.load(exported).module(), torch.jit.load(traced)):\n"
        "    output, _ = program(case['x'])\n"
        "    torch.testing.assert_close(output, case['right'], rtol=1e-12, atol=1e-12)\n"
    )
    files = [str(tmp_path / name) for name in ("layer.pt2", "layer.pt", "case.pt")]
    command = [sys.executable, "-c", code, *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# torch.jit.trace and torch.fx


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
@each_kind
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_traced_layer_is_right_at_every_length_and_batch(kind: str, bidirectional: bool) -> None:
    layer = build(kind, num_layers=2, bidirectional=bidirectional, batch_first=True)
    traced = torch.jit.trace(layer, torch.randn(2, 5, 3, dtype=torch.float64))
    for time, batch in ((5, 2), (9, 3), (1, 1)):
        x = torch.randn(batch, time, 3, dtype=torch.float64)
        assert_same(values_and_gradients(traced, layer, x), values_and_gradients(layer, layer, x))


def test_symbolic_trace_raises_one_clear_error() -> None:
    with pytest.raises(TypeError, match=r"use torch\.export"):
        torch.fx.symbolic_trace(nn.Sequential(build("GRU")))


def test_a_tracer_that_keeps_the_layer_whole_works() -> None:
    class Tracer(torch.fx.Tracer):
        def is_leaf_module(self, module: nn.Module, name: str) -> bool:
            return isinstance(module, RecurrentStack) or super().is_leaf_module(module, name)

    model = nn.Sequential(build("GRU"))
    graph = torch.fx.GraphModule(model, Tracer().trace(model))
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    assert_same([graph(x)[0]], [model(x)[0]])


class OwnCell(scratch_cells.GRUCell):
    """A cell without a kernel."""


@pytest.mark.filterwarnings("ignore:Converting a tensor", *TRACE_IS_DEPRECATED)
@pytest.mark.parametrize(
    "layer",
    [
        scratch_cells.layer_of(OwnCell)(3, 4),
        scratch_cells.GRU(3, 4, backend="plain"),
        scratch_cells.LSTM(3, 4, proj_size=2),
        scratch_cells.RNN(3, 4, dtype=torch.bfloat16),
    ],
)
def test_a_trace_of_the_loop_warns_that_the_length_is_fixed(layer: RecurrentStack) -> None:
    x = torch.randn(5, 2, 3, dtype=next(layer.parameters()).dtype)
    with pytest.warns(torch.jit._trace.TracerWarning, match="of this length only"):
        torch.jit.trace(layer, x, check_trace=False)


class OfPackedInput(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        final: Tensor = self.layer(packed)[1]
        return final


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", *TRACE_IS_DEPRECATED)
@pytest.mark.parametrize("record", [torch.export.export, torch.jit.trace])
def test_packed_input_is_not_recorded(record: Callable[..., Any]) -> None:
    model = OfPackedInput(build("GRU"))
    with pytest.raises(RuntimeError, match="record the layer with padded input"):
        record(model, (torch.randn(5, 2, 3, dtype=torch.float64), torch.tensor([5, 3])))


class WithReset(nn.Module):
    def __init__(self, layer: RecurrentStack) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, reset: Tensor) -> Tensor:
        output = self.layer(x, reset=reset)[0]
        assert isinstance(output, Tensor)
        return output


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", *TRACE_IS_DEPRECATED)
@each_kind
@pytest.mark.parametrize("record", ["export", "trace"])
def test_the_restarts_of_a_recorded_program_are_those_of_each_call(kind: str, record: str) -> None:
    model = WithReset(build(kind, bidirectional=True))
    x, first = torch.randn(5, 2, 3, dtype=torch.float64), torch.zeros(5, 2, dtype=torch.bool)
    if record == "export":
        program: Any = torch.export.export(model, (x, first)).module()
    else:
        program = torch.jit.trace(model, (x, first))
    for reset in (first, ~first, torch.rand(5, 2) < 0.4):
        assert_same([program(x, reset)], [model(x, reset)])


def test_an_exported_layer_with_checkpoints_is_right_at_every_length() -> None:
    layer = build("LSTM", checkpoint_every=2)
    x = torch.randn(9, 3, 3, dtype=torch.float64)
    assert_same([export(layer, 5).module()(x)[0]], [layer(x)[0]])


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM", "GRUCell"])
def test_script_raises_one_clear_error(kind: str) -> None:
    with pytest.raises(TypeError, match=rf"compile {kind}: .*to_torch"):
        torch.jit.script(nn.Sequential(getattr(scratch_cells, kind)(3, 4)))


# Transforms and further derivatives


@each_kind
def test_forward_mode_inside_compiled_code_is_right(kind: str) -> None:
    layer = build(kind)
    x = torch.randn(4, 2, 3, dtype=torch.float64)

    def derivative(x: Tensor) -> Tensor:
        result: Tensor = torch.func.jvp(lambda x: layer(x)[0], (x,), (x.sin(),))[1]
        return result

    assert_same([torch.compile(derivative, backend="eager")(x)], [derivative(x)])


def test_forward_mode_over_an_exported_program_raises() -> None:
    program = export(build("LSTM"), 4).module()
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="forward-mode automatic differentiation"):
        torch.func.jvp(lambda x: program(x)[0], (x,), (x,))


def test_a_second_gradient_of_an_exported_program_raises() -> None:
    program = export(build("LSTM"), 4).module()
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(program(x)[0].sin().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated again"):
        gradient.sum().backward()
