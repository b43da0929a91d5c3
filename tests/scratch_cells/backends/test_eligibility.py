"""When a fast backend runs: every condition that fails selects the reference loop, with a reason.

Each deviation is planted, and the result must follow it exactly as the reference loop does.
"""

import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.flop_counter import FlopCounterMode

import scratch_cells
from examples.minimal_gated_cell import MinimalGatedCell
from scratch_cells.backends import select_backend
from scratch_cells.backends.c_compiler import load_library
from scratch_cells.backends.eligibility import is_plain_tensor
from scratch_cells.cell import Cell, parts
from scratch_cells.lstm import ProjectedLSTMCell
from tests.helpers.backends import (
    CELLS,
    backend_of,
    draw,
    draw_packed,
    each_backend,
    each_kind,
    unroll_with,
)
from tests.helpers.modes import DoubleLinear, DoubleSigmoid, DoubleSigmoidBackward

Call = tuple[Cell, Tensor, Any]
"""A cell, its input and its initial state."""


@pytest.fixture
def call() -> Call:
    return make_call("GRU")


def make_call(kind: str, dtype: torch.dtype = torch.float64) -> Call:
    torch.manual_seed(0)
    cell = CELLS[kind](3, 4, dtype=dtype)
    return cell, *draw(cell, 5, 2)


def outcome(backend: str, call: Call) -> list[Tensor] | tuple[type[Exception], str]:
    """Outputs, final state and gradients, or the exception."""
    cell, x, state = call
    try:
        output, final = unroll_with(backend, cell, x, state)
        returned = [output, *parts(final)]
        loss = sum((part * torch.linspace(1, 2, part.size(-1))).sum() for part in returned)
        leaves = [leaf for leaf in (x, *cell.parameters(), *parts(state)) if leaf.requires_grad]
        return [*returned, *torch.autograd.grad(loss, leaves, allow_unused=True)]
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        return type(error), str(error)


def assert_reference_loop_runs(call: Call, reason: str) -> Any:
    """Every backend runs the reference loop, for this reason; its outcome is returned."""
    expected = outcome("plain", call)
    for backend in ("auto", "bptt", "c"):
        selection = select_backend(*call, backend=backend)
        assert selection.name == "plain"
        assert re.search(reason, selection.reason), selection.reason
        assert str(selection) == f"plain: {selection.reason}"
        got = outcome(backend, call)
        if isinstance(expected, tuple):
            assert got == expected
        else:
            torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)
    return expected


def assert_fast_backend_runs(call: Call) -> None:
    assert select_backend(*call).name in ("bptt", "c")


def assert_differs(got: list[Tensor], expected: list[Tensor]) -> None:
    assert not torch.equal(got[0], expected[0])


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@each_backend
def test_a_named_backend_runs(kind: str, backend: str) -> None:
    x = torch.randn(5, 2, 3)
    for name in (backend, "plain"):
        layer = getattr(scratch_cells, kind)(3, 4, backend=name)
        assert str(layer.backend_for(x)) == f"{name}: requested"
        assert backend_of(layer(x)[0]) == name


def test_the_c_backend_is_available_with_gcc_and_avx2() -> None:
    """Where it is not, its tests are skipped; this one fails."""
    cpu = Path("/proc/cpuinfo")
    flags = cpu.read_text().split() if cpu.exists() else []
    if {"avx2", "fma"} <= set(flags) and shutil.which("gcc"):
        for dtype in (torch.float32, torch.float64):
            assert load_library(dtype)[0] is not None
            selection = scratch_cells.LSTM(3, 4, dtype=dtype).backend_for(
                torch.randn(5, 2, 3, dtype=dtype)
            )
            assert str(selection) == "c: the fastest backend available"


def test_an_unknown_backend_raises() -> None:
    message = "backend is 'fast': expected one of auto, plain, bptt, c, triton"
    with pytest.raises(ValueError, match=message):
        scratch_cells.GRU(3, 4, backend="fast")
    layer = scratch_cells.GRU(3, 4)
    layer.backend = "fast"
    with pytest.raises(ValueError, match=message):
        layer(torch.randn(5, 2, 3))
    with pytest.raises(ValueError, match=message):
        layer.backend_for(torch.randn(5, 2, 3))


@pytest.mark.parametrize("state_given", [False, True])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_backend_for_gives_the_first_cell_that_deviates(kind: str, state_given: bool) -> None:
    layer = getattr(scratch_cells, kind)(3, 4, num_layers=2, bidirectional=True, dropout=0.5)
    x = torch.randn(5, 2, 3)
    state = layer(x)[1] if state_given else None
    assert layer.backend_for(x, state).name in ("bptt", "c")
    generator = torch.get_rng_state()
    for index in (3, 1):
        layer.cells[index].hidden_to_hidden.register_forward_hook(lambda *_: None)
        reason = f"cells.{index}: a forward hook is registered on hidden_to_hidden"
        assert str(layer.backend_for(x, state)) == f"plain: {reason}"
    assert torch.equal(torch.get_rng_state(), generator)
    layer.backend = "plain"
    assert str(layer.backend_for(x, state)) == "plain: requested"


def test_backend_for_raises_what_the_call_raises() -> None:
    layer = scratch_cells.LSTM(3, 4)
    for arguments in ((torch.randn(5, 2, 7),), (torch.randn(5, 2, 3), torch.randn(1, 2, 4))):
        with pytest.raises(RuntimeError) as expected:
            layer(*arguments)
        with pytest.raises(RuntimeError, match=re.escape(str(expected.value))):
            layer.backend_for(*arguments)


# --- the cell -------------------------------------------------------------------------------------


class ScaledCell(scratch_cells.GRUCell):
    def update(self, gates: Any, h: Tensor) -> Tensor:
        return super().update(gates, h) / 2


class ScaledProjectedCell(ProjectedLSTMCell):
    def update(self, gates: Any, state: Any) -> Any:
        h, c = super().update(gates, state)
        return h / 2, c


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (ScaledCell(3, 4), "there is no kernel for ScaledCell"),
        (MinimalGatedCell(3, 4), "there is no kernel for MinimalGatedCell"),
        (ScaledProjectedCell(3, 4, proj_size=2), "there is no kernel for ScaledProjectedCell"),
    ],
)
def test_other_cells_run_the_reference_loop(cell: Cell, reason: str) -> None:
    assert_reference_loop_runs((cell, *draw(cell, 5, 2)), reason)


def test_another_nonlinearity_runs_the_reference_loop() -> None:
    cell = scratch_cells.RNNCell(3, 4, nonlinearity="sigmoid")
    assert_reference_loop_runs((cell, *draw(cell, 5, 2)), "no kernel for nonlinearity 'sigmoid'")


def doubled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A replacement of a method or hook whose results are twice as large."""

    def replacement(*args: Any) -> Any:
        result = function(*args)
        return (
            type(result)(*(2 * part for part in result))
            if isinstance(result, tuple)
            else 2 * result
        )

    return replacement


@pytest.mark.parametrize("method", ["project", "gates", "update", "forward", "step"])
@pytest.mark.parametrize("of", ["the cell", "GRUCell", "Cell"])
def test_patched_methods_of_a_cell_run(
    of: str, method: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, *_ = call
    before = outcome("plain", call)
    target = {"the cell": cell, "GRUCell": scratch_cells.GRUCell, "Cell": Cell}[of]
    if of == "Cell" and method in ("gates", "update"):
        pytest.skip("GRUCell overrides this method")
    monkeypatch.setattr(target, method, doubled(getattr(target, method)))
    name = "the cell" if of == "the cell" else "GRUCell"
    after = assert_reference_loop_runs(call, f"^{method} of {name} is replaced$")
    if method in ("project", "gates", "update"):  # the others are not part of the loop
        assert_differs(after, before)


@pytest.mark.parametrize("cls", [nn.Module, nn.Linear], ids=["Module", "Linear"])
def test_an_attribute_of_a_class_that_hides_a_parameter_counts(
    cls: type, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = outcome("plain", call)
    monkeypatch.setattr(cls, "bias", torch.ones(12, dtype=torch.float64), raising=False)
    after = assert_reference_loop_runs(call, "^a class attribute hides bias$")
    assert_differs(after, before)


@pytest.mark.parametrize("cls", [Cell, scratch_cells.GRUCell], ids=["Cell", "GRUCell"])
def test_an_attribute_of_a_class_that_hides_a_linear_counts(
    cls: type, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = outcome("plain", call)
    other = nn.Linear(4, 12, dtype=torch.float64)
    monkeypatch.setattr(cls, "hidden_to_hidden", other, raising=False)
    after = assert_reference_loop_runs(call, "^a class attribute hides hidden_to_hidden$")
    assert_differs(after, before)


def test_another_base_class_counts(call: Call) -> None:
    class Hiding:
        hidden_to_hidden = nn.Linear(4, 12, dtype=torch.float64)

    before = outcome("plain", call)
    scratch_cells.GRUCell.__bases__ = (Hiding, Cell)
    try:
        after = assert_reference_loop_runs(call, "^__mro__ of GRUCell is replaced$")
    finally:
        scratch_cells.GRUCell.__bases__ = (Cell,)
    assert_differs(after, before)


DEVIATIONS_OF_A_PROJECTION: dict[str, Callable[[Any], Any]] = {
    "hidden_to_projection has a bias": lambda linear: setattr(
        linear, "bias", nn.Parameter(torch.ones(2, dtype=torch.float64))
    ),
    "a forward hook is registered on hidden_to_projection": lambda linear: (
        linear.register_forward_hook(lambda module, input, output: 2 * output)
    ),
    "forward of hidden_to_projection is replaced": lambda linear: setattr(
        linear, "forward", doubled(linear.forward)
    ),
    "hidden_to_projection is a ParametrizedLinear": nn.utils.parametrizations.weight_norm,
    "hidden_to_projection.weight is a Doubling": lambda linear: linear._parameters.update(
        weight=linear.weight.detach().as_subclass(Doubling)
    ),
    r"hidden_to_projection.weight has shape \(2, 1\)": lambda linear: linear._parameters.update(
        weight=linear.weight.detach()[:, :1]
    ),
    "a weight is None": lambda linear: linear._parameters.update(weight=None),
}


@pytest.mark.parametrize("reason", DEVIATIONS_OF_A_PROJECTION)
def test_a_changed_projection_runs_the_reference_loop(reason: str) -> None:
    call = make_call("LSTM projected")
    assert_fast_backend_runs(call)
    DEVIATIONS_OF_A_PROJECTION[reason](call[0].hidden_to_projection)
    assert_reference_loop_runs(call, f"^{reason}")


def test_a_patched_method_of_the_base_class_of_a_projected_cell_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``ProjectedLSTMCell.update`` calls it."""
    call = make_call("LSTM projected")
    before = outcome("plain", call)
    update = scratch_cells.LSTMCell.update

    def halved(*args: Any) -> Any:
        h, c = update(*args)
        return h / 2, c

    monkeypatch.setattr(scratch_cells.LSTMCell, "update", halved)
    after = assert_reference_loop_runs(call, "^update of LSTMCell is replaced$")
    assert_differs(after, before)


@pytest.mark.parametrize("linear", ["input_to_hidden", "hidden_to_hidden"])
@pytest.mark.parametrize("of", ["instance", "class"])
def test_a_patched_forward_of_a_linear_runs(
    of: str, linear: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = outcome("plain", call)
    target = getattr(call[0], linear) if of == "instance" else nn.Linear
    monkeypatch.setattr(target, "forward", doubled(target.forward))
    name = linear if of == "instance" else "Linear"
    assert_differs(assert_reference_loop_runs(call, f"^forward of {name} is replaced$"), before)


@pytest.mark.parametrize("linear", ["input_to_hidden", "hidden_to_hidden"])
def test_another_class_of_linear_runs(linear: str, call: Call) -> None:
    before = outcome("plain", call)

    class Doubled(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    getattr(call[0], linear).__class__ = Doubled
    reason = f"{linear} is a Doubled, not exactly an nn.Linear"
    assert_differs(assert_reference_loop_runs(call, reason), before)


@each_kind
def test_a_parametrization_runs(kind: str) -> None:
    call = make_call(kind)
    nn.utils.parametrizations.weight_norm(call[0].hidden_to_hidden)
    assert_reference_loop_runs(call, "hidden_to_hidden is a ParametrizedLinear")


def test_a_compiled_linear_runs_the_reference_loop(call: Call) -> None:
    call[0].hidden_to_hidden.compile(backend="eager")
    assert str(select_backend(*call)) == "plain: hidden_to_hidden is compiled"


HOOKS = {
    "forward pre-hook": ("register_forward_pre_hook", lambda module, input: (2 * input[0],)),
    "forward hook": ("register_forward_hook", lambda module, input, output: 2 * output),
    "backward pre-hook": ("register_full_backward_pre_hook", lambda module, d: (2 * d[0],)),
    "backward hook": ("register_full_backward_hook", lambda module, d, _: (2 * d[0],)),
}


@pytest.mark.parametrize("linear", ["input_to_hidden", "hidden_to_hidden"])
@pytest.mark.parametrize("kind", HOOKS)
def test_hooks_force_the_reference_loop(kind: str, linear: str, call: Call) -> None:
    before = outcome("plain", call)
    assert_fast_backend_runs(call)
    register, hook = HOOKS[kind]
    handle = getattr(getattr(call[0], linear), register)(hook)
    after = assert_reference_loop_runs(call, f"^a {kind} is registered on {linear}$")
    assert not all(map(torch.equal, after, before))
    handle.remove()
    assert_fast_backend_runs(call)


@pytest.mark.parametrize("kind", HOOKS)
def test_hooks_on_the_cell_force_the_reference_loop(kind: str, call: Call) -> None:
    register, hook = HOOKS[kind]
    getattr(call[0], register)(hook)
    assert_reference_loop_runs(call, f"^a {kind} is registered on the cell$")


GLOBAL_HOOKS = {
    "forward pre-hook": nn.modules.module.register_module_forward_pre_hook,
    "forward hook": nn.modules.module.register_module_forward_hook,
    "backward hook": nn.modules.module.register_module_full_backward_hook,
    "backward pre-hook": nn.modules.module.register_module_full_backward_pre_hook,
}


@pytest.mark.parametrize("kind", GLOBAL_HOOKS)
def test_global_hooks_force_the_reference_loop(kind: str, call: Call) -> None:
    before = outcome("plain", call)
    handle = GLOBAL_HOOKS[kind](HOOKS[kind][1])
    try:
        after = assert_reference_loop_runs(call, "a global module hook is registered")
    finally:
        handle.remove()
    assert not all(map(torch.equal, after, before))


@each_kind
@each_backend
def test_a_hook_sees_every_step(backend: str, kind: str) -> None:
    cell, x, state = make_call(kind)
    seen: list[int] = []
    cell.hidden_to_hidden.register_forward_hook(lambda *_: seen.append(1))
    unroll_with(backend, cell, x, state)
    assert len(seen) == len(x)


# --- modes and transforms -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "reason"),
    [(DoubleLinear, "a torch function mode is active"), (DoubleSigmoid, "a torch dispatch mode")],
)
def test_modes_see_every_operation(mode: Any, reason: str, call: Call) -> None:
    before = outcome("plain", call)
    with mode():
        after = assert_reference_loop_runs(call, reason)
    assert_differs(after, before)


@each_backend
def test_a_default_device_keeps_the_fast_backend(backend: str, call: Call) -> None:
    expected = outcome(backend, call)
    with torch.device("cpu"):
        assert select_backend(*call, backend=backend).name == backend
        torch.testing.assert_close(outcome(backend, call), expected, rtol=0, atol=0)
    with torch.device("meta"):
        torch.testing.assert_close(unroll_with(backend, *call)[0], expected[0], rtol=0, atol=0)


@each_kind
@each_backend
def test_operations_can_be_counted(backend: str, kind: str) -> None:
    """torch's counter of operations is a dispatch mode."""
    cell = CELLS[kind](3, 20)
    x, state = draw(cell, 6, 5)
    with FlopCounterMode(display=False) as counter:
        unroll_with(backend, cell, x, state)
    weights = (weight for weight in cell.parameters() if weight.dim() == 2)
    assert counter.get_total_flops() == 2 * 6 * 5 * sum(weight.numel() for weight in weights)


@each_kind
def test_autocast_runs_the_reference_loop_instead_of_bptt(kind: str) -> None:
    call = make_call(kind, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert "autocast is on" in select_backend(*call, backend="bptt").reason
        got, expected = (outcome(backend, call) for backend in ("bptt", "plain"))
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


@each_kind
@each_backend
def test_forward_mode_without_functorch(backend: str, kind: str) -> None:
    cell, x, state = make_call(kind)
    direction = torch.randn_like(x)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, direction)
        assert "forward-mode" in select_backend(cell, dual, state, backend=backend).reason
        output, _ = unroll_with(backend, cell, dual, state)
        tangent = forward_ad.unpack_dual(output).tangent
    (gradient,) = torch.autograd.grad(unroll_with("plain", cell, x, state)[0].sum(), x)
    torch.testing.assert_close(tangent.sum(), (gradient * direction).sum())


@each_backend
def test_functorch_transforms_run_the_reference_loop(backend: str, call: Call) -> None:
    cell, x, state = call
    reasons = []

    def loss(x: Tensor) -> Tensor:
        reasons.append(select_backend(cell, x, state, backend=backend).reason)
        return unroll_with(backend, cell, x, state)[0].pow(2).sum()

    gradient = torch.func.grad(loss)(x)
    assert reasons == ["a torch.func transform is active"]
    torch.testing.assert_close(gradient, torch.autograd.grad(loss(x), x)[0])


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_tracing_sees_every_step() -> None:
    layer = scratch_cells.LSTM(3, 4)
    traced = torch.jit.trace(layer, torch.randn(5, 2, 3))
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(traced(x)[0], layer(x)[0])


def test_compiling_sees_every_step() -> None:
    torch.compiler.reset()  # other tests may have compiled the same code up to its limit
    layer = scratch_cells.LSTM(3, 4)
    x = torch.randn(5, 2, 3)
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x)[0], layer(x)[0])


# --- the tensors ----------------------------------------------------------------------------------


@each_kind
@each_backend
def test_other_dtypes_run_the_reference_loop(backend: str, kind: str) -> None:
    half = () if backend == "c" else (torch.bfloat16, torch.float16)
    for dtype in (*half, torch.complex64):
        if kind != "RNN relu" or not dtype.is_complex:
            cell = CELLS[kind](3, 4, dtype=dtype)
            x = torch.randn(5, 2, 3, dtype=dtype)
            selection = select_backend(cell, x, cell.zero_state(x[0]), backend=backend)
            assert selection.name == "plain"
            assert f"and the input is {dtype}" in selection.reason
            assert backend_of(selection.run(False)[0]) == "plain"


class Doubling(Tensor):
    """A tensor that doubles what ``linear`` computes with it."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_function__(func, types, args, kwargs)
        return 2 * result if func is nn.functional.linear else result


def with_operand(call: Call, name: str, change: Callable[[Tensor], Tensor]) -> Call:
    """The call with one of its tensors replaced."""
    cell, x, state = call
    if name == "the input":
        return cell, change(x.detach()), state
    if name == "the hidden state":
        return cell, x, change(state.detach())
    linear, attribute = name.split(".")
    module = getattr(cell, linear)
    value = change(getattr(module, attribute).detach())
    del module._parameters[attribute]
    module._parameters[attribute] = value
    return call


OPERANDS = (
    "the input",
    "input_to_hidden.weight",
    "hidden_to_hidden.weight",
    "input_to_hidden.bias",
    "hidden_to_hidden.bias",
    "the hidden state",
)
each_operand = pytest.mark.parametrize("operand", OPERANDS)


@each_operand
def test_a_tensor_subclass_runs_the_reference_loop(operand: str, call: Call) -> None:
    before = outcome("plain", call)
    changed = with_operand(call, operand, lambda tensor: tensor.as_subclass(Doubling))
    after = assert_reference_loop_runs(changed, f"{operand} is a Doubling, not a plain tensor")
    assert_differs([after[0].as_subclass(Tensor)], before)


@each_operand
def test_another_dtype_of_one_operand_does_what_the_reference_loop_does(
    operand: str, call: Call
) -> None:
    changed = with_operand(call, operand, Tensor.float)
    dtypes = "torch.float32, the input torch.float64"
    if operand == "the input":
        dtypes = "input_to_hidden.weight is torch.float64, the input torch.float32"
    assert_reference_loop_runs(changed, dtypes)


@each_operand
def test_another_device_of_one_operand_does_what_the_reference_loop_does(
    operand: str, call: Call
) -> None:
    changed = with_operand(call, operand, lambda tensor: tensor.to("meta"))
    cell, x, state = changed
    if operand == "the input":
        assert select_backend(*changed).reason == "the input is on device meta"
    else:
        reason = f"{operand} is on device meta, the input on cpu"
        assert select_backend(*changed).reason == reason
    outcomes: list[Any] = []
    for backend in ("auto", "plain"):
        try:
            output, _ = unroll_with(backend, cell, x, state)
            outcomes.append((output.device.type, output.shape))
        except (RuntimeError, NotImplementedError) as error:
            outcomes.append((type(error), str(error)))
    assert outcomes[0] == outcomes[1]


@each_operand
def test_another_shape_of_one_operand_does_what_the_reference_loop_does(
    operand: str, call: Call
) -> None:
    """A row of zeros more. The loop raises, or broadcasts."""
    changed = with_operand(call, operand, lambda tensor: tensor[..., :1])
    # The size of the input and of W_hh determine the others.
    reason = "has shape" if operand in OPERANDS[:3] else f"{operand} has shape"
    assert_reference_loop_runs(changed, reason)


LAZY = {
    "a lazily negated view": torch._neg_view,
    "a zero tensor without memory": lambda tensor: torch._efficientzerotensor(
        tensor.shape, dtype=tensor.dtype
    ),
}


@each_operand
@pytest.mark.parametrize("description", LAZY)
def test_lazy_tensors_run_the_reference_loop(description: str, operand: str, call: Call) -> None:
    before = outcome("plain", call)
    changed = with_operand(call, operand, LAZY[description])
    after = assert_reference_loop_runs(changed, f"{operand} is {description}, not a plain tensor")
    if isinstance(after, list):
        assert_differs(after, before)


def without_storage(tensor: Tensor) -> Tensor:
    tensor = tensor.clone()
    tensor.untyped_storage().resize_(0)
    return tensor


@each_operand
def test_freed_storage_raises_as_in_the_reference_loop(operand: str, call: Call) -> None:
    """As when a library for sharded training frees the weights that are not in use."""
    changed = with_operand(call, operand, without_storage)
    reason = f"{operand} is larger than its storage, not a plain tensor"
    for backend in ("auto", "bptt", "c"):
        selection = select_backend(*changed, backend=backend)
        assert (selection.name, selection.reason) == ("plain", reason)
        if operand in OPERANDS[:5]:
            with pytest.raises(RuntimeError):
                selection.run(False)


def test_a_view_that_exceeds_its_storage_is_not_a_plain_tensor() -> None:
    view = torch.zeros(5, 2, 3)[:, :, ::2]
    assert is_plain_tensor(view)
    assert is_plain_tensor(view[:0])
    assert is_plain_tensor(torch.zeros(1).expand(5, 2))
    view.untyped_storage().resize_(4 * (5 * 2 * 3 - 2))
    assert not is_plain_tensor(view)


def test_a_sparse_weight_runs_the_reference_loop(call: Call) -> None:
    changed = with_operand(call, "input_to_hidden.weight", Tensor.to_sparse)
    assert_reference_loop_runs(changed, "input_to_hidden.weight is of layout torch.sparse_coo")


@each_kind
@each_backend
def test_the_meta_device_runs_the_reference_loop(backend: str, kind: str) -> None:
    cell = CELLS[kind](3, 4, device="meta")
    x = torch.empty(5, 2, 3, device="meta", requires_grad=True)
    output, _ = unroll_with(backend, cell, x, cell.zero_state(x[0]))
    output.sum().backward()
    assert backend_of(output) == "plain"
    assert output.shape == (5, 2, cell.output_size)
    assert cell.hidden_to_hidden.weight.grad.shape == cell.hidden_to_hidden.weight.shape


@each_kind
def test_fake_tensors_run_the_reference_loop(kind: str) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    cell, x, state = make_call(kind)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = mode.from_tensor(x)
        output, _ = unroll_with("auto", cell, fake, state)
        assert "dispatch mode" in select_backend(cell, fake, state).reason
    assert output.shape == (5, 2, cell.output_size)
    assert "FakeTensor" in select_backend(cell, fake, state).reason


@each_kind
@each_backend
def test_an_empty_batch_has_zero_weight_gradients(backend: str, kind: str) -> None:
    cell = CELLS[kind](3, 4)
    x = torch.randn(5, 0, 3, requires_grad=True)
    output, _ = unroll_with(backend, cell, x, cell.zero_state(x[0]))
    output.sum().backward()
    assert output.shape == (5, 0, cell.output_size)
    assert cell.hidden_to_hidden.weight.grad.abs().max() == 0


@each_kind
@each_backend
def test_packed_sequences_run_the_backend(backend: str, kind: str) -> None:
    cell = CELLS[kind](3, 4, dtype=torch.float64)
    x, state, batch_sizes = draw_packed(cell, [4, 2, 1])
    output, _ = unroll_with(backend, cell, x, state, batch_sizes)
    assert backend_of(output) == backend


@pytest.mark.parametrize(
    ("batch_sizes", "reason"),
    [
        ((3, 2, 3), "the batch sizes of the packed sequences increase"),
        ((4, 4, 0), "a time step of the packed sequences has no sequence"),
        ((3, 3, 1), r"the input has shape \(8, 3\), not \(7, 3\)"),
        ((4, 3, 1), r"the hidden state has shape \(3, 4\), not \(4, 4\)"),
        ((2, 2, 2, 2), r"the hidden state has shape \(3, 4\), not \(2, 4\)"),
    ],
)
@each_backend
def test_other_batch_sizes_run_the_reference_loop(
    backend: str, batch_sizes: tuple[int, ...], reason: str
) -> None:
    """No layer passes them, and no kernel may read or write rows that do not exist."""
    cell = scratch_cells.GRUCell(3, 4, dtype=torch.float64)
    x, state, _ = draw_packed(cell, [4, 3, 1])
    selection = select_backend(cell, x, state, batch_sizes, backend)
    assert selection.name == "plain"
    assert re.search(reason, selection.reason), selection.reason


def test_a_hook_sees_every_step_of_packed_sequences() -> None:
    layer = scratch_cells.GRU(3, 4)
    packed = pack_padded_sequence(torch.randn(4, 3, 3), torch.tensor([4, 2, 1]))
    assert layer.backend_for(packed).name in ("bptt", "c")
    seen: list[int] = []
    layer.cells[0].hidden_to_hidden.register_forward_hook(lambda *_: seen.append(1))
    layer(packed)
    assert len(seen) == 4


def test_inference_tensors_raise_the_same_error(call: Call) -> None:
    cell, x, state = call
    with torch.inference_mode():
        inference = x.clone()
    expected = outcome("plain", (cell, inference, state))
    assert expected[0] is RuntimeError
    assert outcome("bptt", (cell, inference, state)) == expected
    assert outcome("c", (cell, inference, state)) == expected


# --- the backward pass ----------------------------------------------------------------------------


def reversed_strides(tensor: Tensor) -> Tensor:
    """The same elements with the first dimension as the fastest."""
    return (
        tensor.permute(*reversed(range(tensor.dim())))
        .contiguous()
        .permute(*reversed(range(tensor.dim())))
    )


def saved_hooks(unpack: Callable[[Tensor], Tensor]) -> AbstractContextManager[Any]:
    return torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, unpack)


@each_kind
@each_backend
def test_saved_tensors_with_other_strides_give_the_same_gradients(backend: str, kind: str) -> None:
    call = make_call(kind)
    expected = outcome(backend, call)
    with saved_hooks(reversed_strides):
        got = outcome(backend, call)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)


@each_kind
@each_backend
@pytest.mark.parametrize(
    "unpack",
    [Tensor.float, lambda tensor: tensor[..., :1], lambda tensor: tensor.to("meta")],
    ids=["dtype", "shape", "device"],
)
def test_saved_tensors_that_are_not_restored_raise(unpack: Any, backend: str, kind: str) -> None:
    """As in the reference loop; no kernel reads such a tensor."""
    cell, x, state = make_call(kind)
    for name, message in (("plain", None), (backend, "a saved tensor was unpacked with shape")):
        with saved_hooks(unpack):
            output, _ = unroll_with(name, cell, x, state)
        with pytest.raises(RuntimeError, match=message):
            output.sum().backward()


@each_kind
@each_backend
def test_lost_buffers_are_computed_again(backend: str, kind: str) -> None:
    """Hooks may spoil gates and states, as long as the arguments of the call are restored."""
    call = make_call(kind)
    cell, x, state = call
    given = {tensor.data_ptr() for tensor in (x, *cell.parameters(), *parts(state))}
    output, _ = unroll_with("plain", cell, x, state)
    expected = torch.autograd.grad(output.sum(), [x, *cell.parameters()])
    with saved_hooks(lambda tensor: tensor if tensor.data_ptr() in given else tensor.float()):
        output, _ = unroll_with(backend, cell, x, state)
    got = torch.autograd.grad(output.sum(), [x, *cell.parameters()])
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@each_kind
@each_backend
def test_a_replaced_output_gradient_of_another_shape_raises(backend: str, kind: str) -> None:
    """By a hook on the node of the graph; autograd checks its result."""
    cell, x, state = make_call(kind)
    output, _ = unroll_with(backend, cell, x, state)
    output.grad_fn.register_prehook(lambda gradients: (gradients[0][:1], *gradients[1:]))
    with pytest.raises(RuntimeError, match="has changed the size of value"):
        output.sum().backward()


@pytest.mark.parametrize("mode", [DoubleLinear, DoubleSigmoid, DoubleSigmoidBackward])
@each_backend
def test_modes_in_the_backward_pass_act_as_on_the_reference_loop(
    mode: Any, backend: str, call: Call
) -> None:
    cell, x, state = call
    gradients = []
    for name in (backend, "plain"):
        output, _ = unroll_with(name, cell, x, state)
        with mode():
            gradients.append(torch.autograd.grad(output.sum(), x, retain_graph=True)[0])
    unchanged = torch.autograd.grad(output.sum(), x)[0]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)
    assert torch.equal(gradients[1], unchanged) == (mode is not DoubleSigmoidBackward)


@each_kind
@each_backend
def test_operations_of_the_backward_pass_can_be_counted(backend: str, kind: str) -> None:
    """As many as in the reference loop, not those of the forward pass that is repeated."""
    cell, x, state = make_call(kind)
    flops = []
    for name in (backend, "plain"):
        output, _ = unroll_with(name, cell, x, state)
        with FlopCounterMode(display=False) as counter:
            torch.autograd.grad(output.sum(), [x, *cell.parameters(), parts(state)[0]])
        flops.append(counter.get_total_flops())
    assert flops[0] == flops[1] > 0
