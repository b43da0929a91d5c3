"""Repeated calls: their results are those of a call that is decided again, whatever has changed."""

import copy
import gc
import pickle
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from itertools import combinations
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import functional_call
from torch.nn.utils import prune

import scratch_cells
from scratch_cells.backends import c_call, repeated_calls
from scratch_cells.backends.repeated_calls import KeptCalls
from scratch_cells.cell import parts
from tests.helpers.backends import needs_c
from tests.helpers.modes import DoubleLinear

pytestmark = needs_c

KINDS = ("RNN", "GRU", "LSTM")
each_layer = pytest.mark.parametrize("kind", KINDS)


def make_layer(kind: str, seed: int = 0, **options: Any) -> Any:
    torch.manual_seed(seed)
    return getattr(scratch_cells, kind)(3, 4, **{"dtype": torch.float64} | options)


def make_arguments(layer: Any, time: int = 2, batch: int = 3, state: bool = True) -> list[Any]:
    shape = (batch, time, 3) if layer.batch_first else (time, batch, 3)
    x = torch.randn(shape, dtype=torch.float64)
    cells = len(layer.cells)
    sizes = [(cells, batch, size) for size in layer.cells[0].state_sizes]
    initial = [torch.randn(size, dtype=torch.float64) for size in sizes]
    if not state:
        return [x, None]
    return [x, initial[0] if len(initial) == 1 else tuple(initial)]


def outcome(layer: Any, arguments: list[Any]) -> Any:
    """Outputs, final states and the gradients of all weights, or the error."""
    try:
        output, final = layer(*arguments)
        returned = [output, *parts(final)]
        if not any(each.requires_grad for each in returned):
            return returned
        loss = sum((each * torch.linspace(1, 2, each.size(-1))).sum() for each in returned)
        weights = [weight for weight in layer.parameters() if weight.requires_grad]
        return [*returned, *torch.autograd.grad(loss, weights, allow_unused=True)]
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        return type(error), str(error)


def decided_again(layer: Any, arguments: list[Any]) -> Any:
    """The outcome of a call that does not repeat another one."""
    layer._kept_calls = KeptCalls()
    return outcome(layer, arguments)


def assert_same(got: Any, expected: Any) -> None:
    assert type(got) is type(expected), (got, expected)
    if isinstance(got, tuple):
        assert got == expected
        return
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def make_repeated(layer: Any, arguments: list[Any]) -> None:
    """Make a call until it is repeated."""
    for _ in range(3):
        layer(*arguments)
    assert is_repeated(layer, arguments)


def is_repeated(layer: Any, arguments: list[Any]) -> bool:
    return layer._kept_calls.find(layer, *arguments) is not None


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("state", [True, False])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("time", [1, 4])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@each_layer
def test_a_repeated_call_gives_the_same_bits(
    kind: str,
    layers: int,
    bidirectional: bool,
    batch_first: bool,
    time: int,
    batch: int,
    state: bool,
    training: bool,
) -> None:
    layer = make_layer(
        kind, num_layers=layers, bidirectional=bidirectional, batch_first=batch_first
    )
    with torch.set_grad_enabled(training):
        make_repeated(layer, make_arguments(layer, time, batch, state))
        arguments = make_arguments(layer, time, batch, state)  # other values
        got = outcome(layer, arguments)
        assert is_repeated(layer, arguments)
        assert_same(got, decided_again(layer, arguments))


@each_layer
@pytest.mark.parametrize("bias", [True, False])
def test_unbatched_sequences_are_repeated(kind: str, bias: bool) -> None:
    layer = make_layer(kind, bias=bias)
    x = torch.randn(5, 3, dtype=torch.float64)
    make_repeated(layer, [x, None])
    assert_same(outcome(layer, [x, None]), decided_again(layer, [x, None]))


@each_layer
@pytest.mark.parametrize("shape", [(1, 4, 3), (4, 1, 3), (2, 2, 3)])
def test_gradients_of_a_repeated_call(kind: str, shape: tuple[int, ...]) -> None:
    """Also of x, and those of the gradients, where x is read as (B, T, I) without a copy."""
    layer = make_layer(kind, batch_first=True)
    names = list(dict(layer.named_parameters()))
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    make_repeated(layer, [x, None])

    def function(x: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        output, final = layer(x)
        return output, *parts(final)

    assert is_repeated(layer, [x, None])
    assert gradcheck(function, (x,))
    assert gradgradcheck(function, (x,))
    loss = function(x)[0].pow(3).sum()
    first = torch.autograd.grad(loss, [x, *layer.parameters()], create_graph=True)
    second = torch.autograd.grad(sum(each.pow(2).sum() for each in first), [x, *layer.parameters()])
    plain = copy.deepcopy(layer)
    plain.backend = "plain"
    loss = plain(x)[0].pow(3).sum()
    expected = torch.autograd.grad(loss, [x, *plain.parameters()], create_graph=True)
    torch.testing.assert_close(first, expected)
    expected = torch.autograd.grad(
        sum(each.pow(2).sum() for each in expected), [x, *plain.parameters()]
    )
    torch.testing.assert_close(second, expected)
    assert names == list(dict(plain.named_parameters()))


# --- what is changed between two calls ------------------------------------------------------------


def doubled(function: Callable[..., Any]) -> Callable[..., Any]:
    def replacement(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if isinstance(result, tuple) and hasattr(result, "_fields"):
            return type(result)(*(2 * part for part in result))
        return tuple(2 * part for part in result) if isinstance(result, tuple) else 2 * result

    return replacement


def patch_instance(path: str, method: str) -> Callable[[Any, Any], None]:
    def change(layer: Any, patch: Any) -> None:
        module = layer.get_submodule(path)
        patch.setattr(module, method, doubled(getattr(module, method)))

    return change


def patch_class(find: Callable[[Any], type], method: str) -> Callable[[Any, Any], None]:
    def change(layer: Any, patch: Any) -> None:
        patch.setattr(find(layer), method, doubled(getattr(find(layer), method)))

    return change


def replace_weight(path: str, name: str) -> Callable[[Any, Any], None]:
    def change(layer: Any, patch: Any) -> None:
        module = layer.get_submodule(path) if path else layer
        setattr(module, name, nn.Parameter(torch.randn_like(getattr(module, name))))

    return change


def hook(path: str) -> Callable[[Any, Any], None]:
    def change(layer: Any, patch: Any) -> None:
        module = layer.get_submodule(path)
        module.register_forward_hook(lambda module, input, output: 2 * output)

    return change


def new_hooks(layer: Any, patch: Any) -> None:
    """As a snippet that removes all hooks does; and then a hook is registered."""
    linear = layer.cells[0].hidden_to_hidden
    linear._forward_hooks = type(linear._forward_hooks)()
    linear.register_forward_hook(lambda module, input, output: 2 * output)


def swap(layer: Any, patch: Any) -> None:
    """Both weights of a cell in each other's place, in all three registrations."""
    cell = layer.cells[0]
    other = {"weight_hh": nn.Parameter(2 * cell.weight_hh.detach())}
    cell.hidden_to_hidden._parameters["weight"] = other["weight_hh"]
    cell._parameters.update(other)
    layer._parameters["weight_hh_l0"] = other["weight_hh"]


def rename(layer: Any, patch: Any) -> None:
    """The same Parameter under another name, as ``prune`` leaves it."""
    weight = layer._parameters.pop("weight_hh_l0")
    layer._parameters["weight_hh_l0_orig"] = weight
    layer.weight_hh_l0 = 2 * weight.detach()


def another_cell(layer: Any, patch: Any) -> None:
    layer.cells[0] = copy.deepcopy(layer.cells[0])
    with torch.no_grad():
        layer.cells[0].weight_hh.mul_(2)


def in_place(layer: Any, patch: Any) -> None:
    with torch.no_grad():
        layer.weight_hh_l0.mul_(2)


def through_data(layer: Any, patch: Any) -> None:
    layer.weight_hh_l0.data = 2 * layer.weight_hh_l0.data


def freed(layer: Any, patch: Any) -> None:
    layer.weight_hh_l0.untyped_storage().resize_(0)


CHANGES: dict[str, Callable[[Any, Any], Any]] = {
    "update of the cell": patch_instance("cells.0", "update"),
    "gates of the cell": patch_instance("cells.0", "gates"),
    "forward of a linear": patch_instance("cells.0.hidden_to_hidden", "forward"),
    "gates of the class": patch_class(lambda layer: type(layer.cells[0]), "gates"),
    "forward of nn.Linear": patch_class(lambda layer: nn.Linear, "forward"),
    "run of the class": patch_class(lambda layer: type(layer), "run"),
    "initial_state of the class": patch_class(lambda layer: type(layer), "initial_state"),
    "initial_state of the layer": patch_instance("", "initial_state"),
    "torch.tanh": lambda layer, patch: patch.setattr(torch, "tanh", torch.sin),
    "a hook on a linear": hook("cells.0.input_to_hidden"),
    "a hook in a new dictionary": new_hooks,
    "a weight of a linear": replace_weight("cells.0.hidden_to_hidden", "weight"),
    "a bias of a linear": replace_weight("cells.0.hidden_to_hidden", "bias"),
    "a weight of a cell": replace_weight("cells.0", "weight_hh"),
    "a weight of the layer": replace_weight("", "weight_hh_l0"),
    "a weight in all places": swap,
    "a weight in place": in_place,
    "a weight through data": through_data,
    "a weight renamed": rename,
    "no storage": freed,
    "no bias": lambda layer, patch: setattr(layer.cells[0].input_to_hidden, "bias", None),
    "another cell": another_cell,
    "another linear": lambda layer, patch: setattr(
        layer.cells[0], "input_to_hidden", nn.Linear(3, 4, dtype=torch.float64)
    ),
    "weight_norm of the layer": lambda layer, patch: nn.utils.parametrizations.weight_norm(
        layer, "weight_hh_l0"
    ),
    "weight_norm of a linear": lambda layer, patch: nn.utils.parametrizations.weight_norm(
        layer.cells[0].hidden_to_hidden
    ),
    "a pruned weight": lambda layer, patch: prune.random_unstructured(layer, "weight_hh_l0", 0.5),
    "float32 weights": lambda layer, patch: layer.float(),
    "frozen": lambda layer, patch: layer.requires_grad_(False),
    "a frozen weight": lambda layer, patch: layer.weight_ih_l0.requires_grad_(False),
    "backend": lambda layer, patch: setattr(layer, "backend", "plain"),
    "an unknown backend": lambda layer, patch: setattr(layer, "backend", "fast"),
    "a backend that is a list": lambda layer, patch: setattr(layer, "backend", ["c"]),
    "batch_first": lambda layer, patch: setattr(layer, "batch_first", True),
    "input_size": lambda layer, patch: setattr(layer, "input_size", 4),
    "checkpoint_every": lambda layer, patch: setattr(layer, "checkpoint_every", 1),
    "a hidden weight": lambda layer, patch: patch.setattr(
        nn.Linear, "bias", torch.ones(1), raising=False
    ),
    "a compiled linear": lambda layer, patch: layer.cells[0].hidden_to_hidden.compile(
        backend="eager"
    ),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("change", CHANGES)
@each_layer
def test_a_change_of_the_layer_has_its_effect(
    kind: str, change: str, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = make_layer(kind)
    arguments = make_arguments(layer)
    with torch.set_grad_enabled(training):
        make_repeated(layer, arguments)
        CHANGES[change](layer, monkeypatch)
        got = outcome(layer, arguments)
        assert_same(got, decided_again(layer, arguments))
        for _ in range(3):  # and when the changed call is itself a repeated one
            got = outcome(layer, arguments)
        assert_same(got, decided_again(layer, arguments))


def test_another_nonlinearity_has_its_effect() -> None:
    layer = make_layer("RNN")
    arguments = make_arguments(layer)
    make_repeated(layer, arguments)
    layer.cells[0].nonlinearity = "relu"
    got = outcome(layer, arguments)
    assert_same(got, decided_again(layer, arguments))
    layer.backend = "plain"
    torch.testing.assert_close(got, outcome(layer, arguments))


ARGUMENTS: dict[str, Callable[[Tensor, Any], tuple[Any, Any]]] = {
    "float32 x": lambda x, h: (x.float(), h),
    "float32 state": lambda x, h: (x, h.float()),
    "fewer features": lambda x, h: (x[..., :2], h),
    "another batch of the state": lambda x, h: (x, h[:, :2]),
    "more layers in the state": lambda x, h: (x, torch.cat([h, h])),
    "a tuple as the state": lambda x, h: (x, (h,)),
    "a list as the state": lambda x, h: (x, [h]),
    "a number as the state": lambda x, h: (x, 1.0),
    "x of 4 dimensions": lambda x, h: (x[None], h),
    "x without a batch": lambda x, h: (x[:, 0], h),
    "x without steps": lambda x, h: (x[:0], h),
    "x of another device": lambda x, h: (x.to("meta"), h),
    "a list as x": lambda x, h: (x.tolist(), h),
    "other strides": lambda x, h: (x.transpose(0, 1).contiguous().transpose(0, 1), h),
    "x is expanded": lambda x, h: (x[:1].expand(x.shape), h),
    "x is negated lazily": lambda x, h: (torch.complex(x, x).conj().imag, h),
    "a Parameter as x": lambda x, h: (nn.Parameter(x), h),
    "a subclass as x": lambda x, h: (x.as_subclass(type("Sub", (Tensor,), {})), h),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_other_arguments_have_their_effect(name: str) -> None:
    layer = make_layer("GRU")
    arguments = make_arguments(layer)
    make_repeated(layer, arguments)
    changed = list(ARGUMENTS[name](*arguments))
    assert_same(outcome(layer, changed), decided_again(layer, changed))


@pytest.mark.parametrize("state", [lambda h, c: (h,), lambda h, c: (h, c, c), lambda h, c: h])
def test_other_parts_of_the_state_raise(state: Callable[..., Any]) -> None:
    layer = make_layer("LSTM")
    x, hx = make_arguments(layer)
    make_repeated(layer, [x, hx])
    changed = [x, state(*hx)]
    got = outcome(layer, changed)
    assert got[0] is RuntimeError
    assert_same(got, decided_again(layer, changed))


CONTEXTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "a mode": DoubleLinear,
    "inference mode": torch.inference_mode,
    "no gradient": torch.no_grad,
    "forward mode": forward_ad.dual_level,
    "saved tensors elsewhere": lambda: torch.autograd.graph.saved_tensors_hooks(
        lambda t: t.clone(), lambda t: t
    ),
}


@pytest.mark.parametrize("context", CONTEXTS)
@each_layer
def test_a_context_has_its_effect(kind: str, context: str) -> None:
    dtype = torch.float32 if context == "autocast" else torch.float64
    layer = make_layer(kind).to(dtype)
    x = make_arguments(layer)[0].to(dtype)
    make_repeated(layer, [x, None])
    with CONTEXTS[context]():
        assert_same(outcome(layer, [x, None]), decided_again(layer, [x, None]))


def test_a_global_hook_has_its_effect() -> None:
    layer = make_layer("GRU")
    arguments = make_arguments(layer)
    make_repeated(layer, arguments)
    seen = []
    handle = nn.modules.module.register_module_forward_hook(lambda m, i, o: seen.append(m))
    try:
        layer(*arguments)
    finally:
        handle.remove()
    assert layer.cells[0].hidden_to_hidden in seen


@each_layer
def test_transforms_and_functional_calls_have_their_effect(kind: str) -> None:
    layer = make_layer(kind)
    x, _ = make_arguments(layer)
    make_repeated(layer, [x, None])
    weights = {name: 2 * weight.detach() for name, weight in layer.named_parameters()}
    other = copy.deepcopy(layer)
    other.load_state_dict(weights)
    for _ in range(3):
        got = functional_call(layer, weights, (x,))[0]
        torch.testing.assert_close(got, other(x)[0], rtol=1e-12, atol=1e-12)
    batched = torch.func.vmap(lambda x: layer(x)[0])(torch.stack([x, 2 * x]))
    torch.testing.assert_close(batched, torch.stack([layer(x)[0], layer(2 * x)[0]]))


@pytest.mark.parametrize("name", ["torch.cat", "torch.nn.functional.dropout"])
def test_a_function_between_the_cells_may_return_anything(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a tensor with other strides, of which C must not read the memory as it is."""
    layer = make_layer("GRU", num_layers=2, bidirectional=True, dropout=0.5).eval()
    arguments = make_arguments(layer)
    make_repeated(layer, arguments)
    owner = torch if name == "torch.cat" else nn.functional
    original = getattr(owner, name.rpartition(".")[2])

    def other_strides(*args: Any, **options: Any) -> Tensor:
        return 2 * original(*args, **options).transpose(0, 2).contiguous().transpose(0, 2)

    monkeypatch.setattr(name, other_strides)
    assert_same(outcome(layer, arguments), decided_again(layer, arguments))


def test_dropout_and_training_mode_have_their_effect() -> None:
    layer = make_layer("LSTM", num_layers=2, dropout=0.5)
    arguments = make_arguments(layer)
    for mode in (True, False):
        layer.train(mode)
        make_repeated(layer, arguments)
        torch.manual_seed(1)
        got = outcome(layer, arguments)
        torch.manual_seed(1)
        assert_same(got, decided_again(layer, arguments))


# --- what is kept ---------------------------------------------------------------------------------


def test_copies_begin_with_no_calls_and_give_the_same() -> None:
    layer = make_layer("LSTM")
    arguments = make_arguments(layer)
    make_repeated(layer, arguments)
    expected = outcome(layer, arguments)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), copy.copy(layer)):
        assert_same(outcome(other, arguments), expected)
    other = copy.copy(layer)
    other.batch_first = True
    assert_same(outcome(other, arguments), decided_again(copy.deepcopy(other), arguments))


def test_kept_calls_hold_no_tensor() -> None:
    layer = make_layer("LSTM")
    arguments = make_arguments(layer)
    make_repeated(layer, arguments)
    references = [weakref.ref(layer), *map(weakref.ref, layer.parameters())]
    references += [weakref.ref(arguments[0]), *map(weakref.ref, arguments[1])]
    gc.collect()
    gc.disable()
    try:
        arguments.clear()
        del layer
        alive = [reference() for reference in references if reference() is not None]
    finally:
        gc.enable()
    assert not alive


def test_only_so_many_calls_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated_calls, "MAX_CALLS", 3)
    layer = make_layer("GRU")
    for time in range(1, 9):
        make_repeated(layer, make_arguments(layer, time))
        assert len(layer._kept_calls._kept) <= 3


def test_long_sequences_are_decided_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratch_cells.backends.MAX_ELEMENTS", 10)
    layer = make_layer("GRU")
    arguments = make_arguments(layer)
    for _ in range(3):
        layer(*arguments)
    assert not is_repeated(layer, arguments)


def test_another_number_of_threads_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c_call.c_backend, "MIN_PARALLEL_MULTIPLY_ADDS", 0)
    layer = make_layer("GRU")
    arguments = make_arguments(layer)
    threads = torch.get_num_threads()
    seen = []
    original = c_call.SequenceCall.arguments

    def recorded(self: Any, *args: Any) -> Any:
        result = original(self, *args)
        seen.append(result[0].threads)
        return result

    monkeypatch.setattr(c_call.SequenceCall, "arguments", recorded)
    try:
        for count in (1, 2, 1):
            torch.set_num_threads(count)
            seen.clear()
            make_repeated(layer, arguments)
            assert set(seen) == {count}
    finally:
        torch.set_num_threads(threads)


PLACES: dict[str, Callable[[Any], tuple[dict[str, Any], str]]] = {
    "the layer": lambda layer: (layer._parameters, "weight_hh_l0"),
    "the cell": lambda layer: (layer.cells[0]._parameters, "weight_hh"),
    "the linear": lambda layer: (layer.cells[0].hidden_to_hidden._parameters, "weight"),
}
"""Where the same weight is registered."""

SETS_OF_PLACES = [each for size in (1, 2, 3) for each in combinations(PLACES, size)]


def register(layer: Any, places: Iterable[str], value: Tensor) -> None:
    """Register a new weight, without the methods that would tell the layer."""
    new = nn.Parameter(value.clone())
    for place in places:
        parameters, name = PLACES[place](layer)
        parameters[name] = new


@pytest.mark.parametrize("second", SETS_OF_PLACES)
@pytest.mark.parametrize("first", SETS_OF_PLACES)
def test_a_weight_that_is_registered_somewhere_has_its_effect(
    first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    layer = make_layer("GRU")
    other = copy.deepcopy(layer)
    arguments = make_arguments(layer)
    for factor, places in enumerate(((), first, second)):
        for each in (layer, other):
            register(each, places, factor * torch.ones(12, 4, dtype=torch.float64))
        for _ in range(3):
            other._kept_calls = KeptCalls()
            assert_same(list(layer(*arguments)), list(other(*arguments)))
    assert_same(outcome(layer, arguments), decided_again(other, arguments))


def test_threads_repeat_calls_of_one_layer() -> None:
    """While another one freezes and thaws a weight, so that what is kept is removed again."""
    layer = make_layer("GRU")
    arguments = make_arguments(layer)
    expected = [part.detach() for part in layer(*arguments)]

    def call(_: int) -> list[Tensor]:
        layer.weight_hh_l0.requires_grad_(not layer.weight_hh_l0.requires_grad)
        return [part.detach() for part in layer(*arguments)]

    with ThreadPoolExecutor(4) as pool:
        for returned in pool.map(call, range(2000)):
            assert_same(returned, expected)


CALLS = ("call", "no gradient", "state", "x requires a gradient")
CHANGED = ("double", "in place", "freeze", "register")


@given(st.data(), st.sampled_from(KINDS), st.booleans(), st.integers(1, 2))
def test_programs_of_calls_and_changes(
    data: st.DataObject, kind: str, batch_first: bool, layers: int
) -> None:
    """One layer repeats calls, and an equal one decides every call again."""
    layer = make_layer(kind, batch_first=batch_first, num_layers=layers)
    other = copy.deepcopy(layer)
    for _ in range(data.draw(st.integers(4, 16))):
        action = data.draw(st.sampled_from(CALLS + CHANGED))
        name = data.draw(st.sampled_from(["weight_hh_l0", "bias_ih_l0", "weight_ih_l0"]))
        if action == "double":
            layer, other = layer.double(), other.double()
        elif action == "in place":
            for each in (layer, other):
                with torch.no_grad():
                    getattr(each, name).mul_(1.5)
        elif action == "register":
            places = data.draw(st.sampled_from(SETS_OF_PLACES))
            value = torch.randn(4 * len(layer.cells[0].Gates._fields), 4, dtype=torch.float64)
            for each in (layer, other):
                register(each, places, value)
        elif action == "freeze":
            for each in (layer, other):
                weight = getattr(each, name)
                weight.requires_grad_(not weight.requires_grad)
        else:
            sizes = data.draw(st.sampled_from([(1, 1), (1, 2), (2, 1), (2, 2)]))
            arguments = make_arguments(layer, *sizes, state=action == "state")
            if action == "x requires a gradient":
                arguments[0].requires_grad_()
            context = torch.no_grad() if action == "no gradient" else nullcontext()
            with context:
                assert_same(outcome(layer, arguments), decided_again(other, arguments))
