"""Every weight has torch.nn's name for whatever lists, replaces or reparametrizes parameters."""

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parameters_to_vector, parametrizations, prune, vector_to_parameters
from torch.nn.utils.parametrize import cached, register_parametrization, remove_parametrizations

import scratch_cells
from scratch_cells.cell import parts, whole
from tests.helpers.paths import ROOT

CELLS = ["RNNCell", "GRUCell", "LSTMCell"]
KINDS = ["RNN", "GRU", "LSTM"]
each_module = pytest.mark.parametrize("kind", [*KINDS, *CELLS])
each_layer = pytest.mark.parametrize("kind", KINDS)
each_backend = pytest.mark.parametrize("backend", ["auto", "plain", "bptt"])
deprecated = pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
FLOAT64 = {"dtype": torch.float64}
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def both(kind: str, **options: Any) -> tuple[nn.Module, nn.Module]:
    """Our layer or cell and torch.nn's, with the same weights."""
    ours, theirs = (getattr(package, kind)(3, 4, **FLOAT64, **options) for package in PACKAGES)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


PACKAGES = (scratch_cells, nn)


def name_of(module: nn.Module, weight: str = "weight_hh") -> str:
    return weight if type(module).__name__.endswith("Cell") else f"{weight}_l0"


def inputs(module: nn.Module) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 2, 3, generator=generator, **FLOAT64)
    return x[0] if "Cell" in type(module).__name__ else x


def output_of(module: nn.Module) -> Tensor:
    result = module(inputs(module))
    output: Tensor = result[0] if isinstance(result, tuple) else result
    return output


def names(module: nn.Module, **options: Any) -> list[str]:
    return [name for name, _ in module.named_parameters(**options)]


def assert_same(ours: nn.Module, theirs: nn.Module) -> None:
    """The same names, in the same order, outputs and gradients."""
    assert names(ours) == names(theirs)
    assert names(ours, recurse=False) == names(theirs, recurse=False)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    torch.testing.assert_close(output_of(ours), output_of(theirs), **EXACT)
    for module in (ours, theirs):
        module.zero_grad()
        output_of(module).pow(2).sum().backward()
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert other.grad is not None
        torch.testing.assert_close(mine.grad, other.grad, **EXACT, msg=name)


def assert_shared(layer: nn.Module) -> None:
    """Each weight is one Parameter under torch.nn's name, in the cell, and in the Linear."""
    for index, cell in enumerate(layer.cells):
        for name, path in cell.torch_names().items():
            weight = getattr(layer, f"{name}_l{index}")
            assert getattr(cell, name) is weight
            assert cell.get_parameter(path) is weight
            assert layer.get_parameter(f"{name}_l{index}") is weight
            assert layer.get_parameter(f"cells.{index}.{name}") is weight


# --- names and order --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"bias": False}, {"num_layers": 2, "bidirectional": True}],
    ids=["default", "no bias", "deep"],
)
@each_layer
def test_parameters_have_the_names_and_order_of_torch(kind: str, options: Any) -> None:
    ours, theirs = both(kind, **options)
    assert_same(ours, theirs)
    nested = [nn.ModuleDict({"a": nn.ModuleList([layer])}) for layer in (ours, theirs)]
    assert names(nested[0]) == names(nested[1])
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_a_projection_has_the_name_and_place_of_torch() -> None:
    assert_same(*both("LSTM", num_layers=2, proj_size=2))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_parameters_of_cells_have_the_names_and_order_of_torch(kind: str, bias: bool) -> None:
    ours, theirs = both(kind, bias=bias)
    assert_same(ours, theirs)
    assert dict(ours._parameters).keys() == dict(theirs._parameters).keys()


@each_module
def test_a_loop_over_names_initializes_as_in_torch(kind: str) -> None:
    ours, theirs = both(kind)
    for module in (ours, theirs):
        torch.manual_seed(0)
        for name, weight in module.named_parameters():
            if "weight_ih" in name:
                nn.init.xavier_uniform_(weight)
            elif "weight_hh" in name:
                nn.init.orthogonal_(weight)
            else:
                nn.init.constant_(weight, 0.25)
    assert_same(ours, theirs)


@each_module
def test_flat_vectors_move_both_ways(kind: str) -> None:
    ours, theirs = both(kind)
    for source, target in ((theirs, ours), (ours, theirs)):
        vector_to_parameters(0.5 * parameters_to_vector(source.parameters()), target.parameters())
        vector_to_parameters(0.5 * parameters_to_vector(source.parameters()), source.parameters())
        assert_same(ours, theirs)


@each_layer
def test_optimizer_states_move_both_ways(kind: str) -> None:
    for order in (1, -1):
        source, target = both(kind, num_layers=2)[::order]
        optimizers = [torch.optim.Adam(module.parameters()) for module in (source, target)]
        for _ in range(2):
            output_of(source).pow(2).sum().backward()
            optimizers[0].step()
        optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
        target.load_state_dict(source.state_dict())
        for module, optimizer in zip((source, target), optimizers, strict=True):
            module.zero_grad()
            output_of(module).pow(2).sum().backward()
            optimizer.step()
        for one, other in zip(source.parameters(), target.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


# --- tools that are given torch.nn's names ------------------------------------------------------


class Half(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight * 2


def halve(module: nn.Module, name: str) -> None:
    register_parametrization(module, name, Half())


def prune_some(module: nn.Module, name: str) -> None:
    prune.l1_unstructured(module, name, 0.3)


TOOLS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "parametrization": (halve, remove_parametrizations),
    "pruning": (prune_some, prune.remove),
    "weight_norm": (parametrizations.weight_norm, remove_parametrizations),
    "orthogonal": (parametrizations.orthogonal, remove_parametrizations),
    "spectral_norm": (parametrizations.spectral_norm, remove_parametrizations),
    "old weight_norm": (nn.utils.weight_norm, nn.utils.remove_weight_norm),
    "old spectral_norm": (nn.utils.spectral_norm, nn.utils.remove_spectral_norm),
}
each_tool = pytest.mark.parametrize("tool", TOOLS)


def with_tool(tool: str, module: nn.Module, name: str) -> nn.Module:
    torch.manual_seed(1)
    TOOLS[tool][0](module, name)
    return module.eval() if tool == "spectral_norm" else module


@deprecated
@each_backend
@each_tool
@each_layer
def test_a_tool_acts_on_a_layer_as_on_torchs(kind: str, tool: str, backend: str) -> None:
    ours, theirs = both(kind, num_layers=2)
    ours.backend = backend
    for name in ("weight_hh_l0", "weight_ih_l1"):
        ours, theirs = (with_tool(tool, module, name) for module in (ours, theirs))
    assert_same(ours, theirs)
    for module in (ours, theirs):
        module.float().double()
    assert_same(ours, theirs)


@deprecated
@each_tool
@pytest.mark.parametrize("kind", CELLS)
def test_a_tool_acts_on_a_cell_as_on_torchs(kind: str, tool: str) -> None:
    assert_same(*(with_tool(tool, module, "weight_hh") for module in both(kind)))


@deprecated
@each_tool
@each_module
def test_a_tool_that_is_removed_leaves_an_ordinary_weight(kind: str, tool: str) -> None:
    ours, theirs = both(kind)
    for module in (ours, theirs):
        name = name_of(module)
        with_tool(tool, module, name)
        output_of(module)
        TOOLS[tool][1](module, name)
    assert names(ours) == names(theirs)
    torch.testing.assert_close(output_of(ours), output_of(theirs), **EXACT)
    if kind in KINDS:
        assert_shared(ours)


@each_layer
def test_biases_can_be_pruned_together_with_weights(kind: str) -> None:
    ours, theirs = both(kind)
    for module in (ours, theirs):
        prune.global_unstructured(
            [(module, name) for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0")],
            pruning_method=prune.L1Unstructured,
            amount=0.4,
        )
    assert_same(ours, theirs)


@each_layer
def test_a_parametrized_layer_can_be_used_like_any_other(kind: str) -> None:
    layer, _ = both(kind)
    halve(layer, "weight_hh_l0")
    x = inputs(layer).requires_grad_()
    assert layer.backend_for(x).name != "plain"
    expected = output_of(layer)
    copied = copy.deepcopy(layer)
    assert torch.equal(output_of(copied), expected)
    copied.reset_parameters()
    assert not torch.equal(output_of(copied), expected)
    assert torch.equal(output_of(layer), expected)  # copied is independent
    torch.testing.assert_close(scratch_cells.trace(layer, x).output, expected, **EXACT)
    assert torch.autograd.gradgradcheck(lambda x: layer(x)[0], (x,), fast_mode=True)
    torch.testing.assert_close(torch.compile(layer, backend="eager")(x)[0], expected, **EXACT)
    with cached():
        assert torch.equal(output_of(layer), expected)
    state = copy.deepcopy(layer.state_dict())
    layer.parametrizations.weight_hh_l0.original.data.zero_()
    layer.load_state_dict(state)
    assert torch.equal(output_of(layer), expected)
    with torch.no_grad():
        halved = functional_call(
            layer, {"parametrizations.weight_hh_l0.original": state_half(state)}, x
        )
    assert not torch.equal(halved[0], expected)


def state_half(state: dict[str, Tensor]) -> Tensor:
    return 0.5 * state["parametrizations.weight_hh_l0.original"]


# --- tools that are given a Linear ------------------------------------------------------------


@deprecated
@each_tool
@each_layer
def test_a_tool_acts_on_a_linear(kind: str, tool: str) -> None:
    """The weight is then a parameter of the Linear alone, and shared again in the end."""
    layer, reference = both(kind)
    linear = layer.cells[0].hidden_to_hidden
    with_tool(tool, linear, "weight").eval()  # spectral_norm changes its buffers in training
    with_tool(tool, reference, "weight_hh_l0").eval()
    assert not any("weight_hh" in name for name in names(layer, remove_duplicate=False))
    assert len(list(layer.parameters())) == len(list(reference.parameters()))
    output = output_of(layer)
    torch.testing.assert_close(output, output_of(reference), **EXACT)
    output.sum().backward()
    assert all(weight.grad is not None for weight in layer.parameters())
    torch.testing.assert_close(layer.weight_hh_l0, linear.weight, **EXACT)
    copied, _ = both(kind)
    with_tool(tool, copied.cells[0].hidden_to_hidden, "weight").eval()
    copied.load_state_dict(layer.state_dict())
    torch.testing.assert_close(output_of(copied), output_of(layer), **EXACT)
    TOOLS[tool][1](linear, "weight")
    assert names(layer)[:2] == ["weight_ih_l0", "weight_hh_l0"]
    assert_shared(layer)


@each_layer
@pytest.mark.parametrize("tool", ["parametrization", "pruning"])
def test_a_cell_can_be_called_while_its_layer_provides_a_weight(kind: str, tool: str) -> None:
    """A weight that a tool has taken over by the layer's name is not in the nn.Linear any more."""
    layer = getattr(scratch_cells, kind)(3, 4, 2, bidirectional=True, **FLOAT64)
    cell, x = layer.cells[1], torch.randn(2, 3, **FLOAT64)
    name = "weight_hh_l0_reverse"
    if tool == "pruning":
        prune.l1_unstructured(layer, name, 0.5)
    else:
        register_parametrization(layer, name, nn.Tanh())
    layer.backend_for(x.expand(1, 2, 3))  # as any use of the layer
    assert torch.equal(cell.weight_hh, getattr(layer, name))
    state = parts(cell.zero_state(x))
    state = tuple(part + 0.5 for part in state)
    expected = layer(x.unsqueeze(0), whole([part.expand(4, 2, 4) for part in state]))[1]
    for got, part in zip(parts(cell(x, whole(state))), parts(expected), strict=True):
        torch.testing.assert_close(got, part[1], **EXACT)
    if tool == "pruning":
        prune.remove(layer, name)
    else:
        copied = copy.deepcopy(layer)  # a pruned module cannot be copied
        assert copied.cells[1].provider[0] is copied
        remove_parametrizations(layer, name)
    for got, part in zip(parts(cell(x, whole(state))), parts(expected), strict=True):
        torch.testing.assert_close(got, part[1], **EXACT)
    assert not cell.provider


@each_layer
def test_a_parametrized_weight_of_a_cell_acts_in_its_layer(kind: str) -> None:
    layer, reference = both(kind)
    halve(layer.cells[0], "weight_hh")
    halve(reference, "weight_hh_l0")
    assert len(list(layer.parameters())) == len(list(reference.parameters()))
    torch.testing.assert_close(output_of(layer), output_of(reference), **EXACT)


# --- what separates the registrations of a weight -------------------------------------------


def replace_by_assignment_to_the_layer(layer: nn.Module) -> None:
    layer.weight_hh_l0 = nn.Parameter(layer.weight_hh_l0.detach() / 2)


def replace_by_assignment_to_the_cell(layer: nn.Module) -> None:
    layer.cells[0].weight_hh = nn.Parameter(layer.weight_hh_l0.detach() / 2)


def replace_by_assignment_to_the_linear(layer: nn.Module) -> None:
    linear = layer.cells[0].hidden_to_hidden
    linear.weight = nn.Parameter(linear.weight.detach() / 2)


def replace_the_linear(layer: nn.Module) -> None:
    old = layer.cells[0].hidden_to_hidden
    new = nn.Linear(old.in_features, old.out_features, **FLOAT64)
    layer.cells[0].hidden_to_hidden = new


def replace_in_the_dictionary_of_parameters(layer: nn.Module) -> None:
    layer._parameters["weight_hh_l0"] = nn.Parameter(layer.weight_hh_l0.detach() / 2)


def remove_and_register_again(layer: nn.Module) -> None:
    weight = layer.weight_hh_l0
    del layer.weight_hh_l0
    assert "weight_hh_l0" not in names(layer)
    layer.register_parameter("weight_hh_l0", nn.Parameter(weight.detach() / 2))


def move_to_empty(layer: nn.Module) -> None:
    layer.to("meta").to_empty(device="cpu")
    layer.reset_parameters()


def move_each_module_to_empty(layer: nn.Module) -> None:
    layer.to("meta")
    for module in layer.modules():
        module.to_empty(device="cpu", recurse=False)
    layer.reset_parameters()


def load_with_assign(layer: nn.Module) -> None:
    layer.load_state_dict(type(layer)(3, 4, **FLOAT64).state_dict(), assign=True)


def convert_with_new_parameters(layer: nn.Module) -> None:
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        layer.float().double()
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)


def convert_with_swapped_parameters(layer: nn.Module) -> None:
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        layer.float().double().load_state_dict(type(layer)(3, 4, **FLOAT64).state_dict())
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)


@pytest.mark.parametrize(
    "change",
    [
        replace_by_assignment_to_the_layer,
        replace_by_assignment_to_the_cell,
        replace_by_assignment_to_the_linear,
        replace_the_linear,
        replace_in_the_dictionary_of_parameters,
        remove_and_register_again,
        move_to_empty,
        move_each_module_to_empty,
        load_with_assign,
        convert_with_new_parameters,
        convert_with_swapped_parameters,
    ],
)
@each_layer
def test_a_weight_stays_one_parameter_under_all_its_names(
    kind: str, change: Callable[[nn.Module], None]
) -> None:
    layer, theirs = both(kind)
    before = output_of(layer).detach()
    change(layer)
    if change is remove_and_register_again:
        change(theirs)  # the name is the last one now
    assert names(layer) == names(theirs)
    assert_shared(layer)
    theirs.load_state_dict(layer.state_dict())
    assert_same(layer, theirs)
    if change is not convert_with_new_parameters:
        assert not torch.allclose(output_of(layer), before)


@each_layer
def test_copies_and_pickles_share_their_own_weights(kind: str) -> None:
    layer, _ = both(kind)
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert_shared(copied)
        assert copied.weight_hh_l0 is not layer.weight_hh_l0
        copied.cells[0].hidden_to_hidden.weight = nn.Parameter(torch.zeros(4, 4))
        assert_shared(copied)
        assert_shared(layer)


@pytest.mark.parametrize("module", [scratch_cells.LSTM(3, 4, 2), scratch_cells.LSTMCell(3, 4)])
def test_a_conversion_is_applied_once_to_each_weight(module: nn.Module) -> None:
    seen: list[Tensor] = []
    module._apply(lambda tensor: seen.append(tensor) or tensor)
    assert len(seen) == len(list(module.parameters())) == len({id(tensor) for tensor in seen})


@each_module
def test_functional_call_accepts_a_state_dict_and_changes_nothing(kind: str) -> None:
    ours, theirs = both(kind)
    given = {name: weight / 2 for name, weight in theirs.state_dict().items()}
    results = [functional_call(module, given, inputs(module)) for module in (ours, theirs)]
    torch.testing.assert_close(*results, **EXACT)
    assert_same(ours, theirs)


@pytest.mark.parametrize("as_parameter", [False, True])
@pytest.mark.parametrize("tie_weights", [False, True])
@pytest.mark.parametrize("path", ["weight_hh_l0", "cells.0.hidden_to_hidden.weight"])
def test_functional_call_accepts_either_name(
    path: str, tie_weights: bool, as_parameter: bool
) -> None:
    ours, theirs = both("GRU")
    weight = torch.zeros(12, 4, **FLOAT64)
    weight = nn.Parameter(weight) if as_parameter else weight
    x = inputs(ours)
    output, _ = functional_call(ours, {path: weight}, (x,), tie_weights=tie_weights)
    expected, _ = functional_call(theirs, {"weight_hh_l0": weight}, (x,))
    torch.testing.assert_close(output, expected, **EXACT)
    assert_same(ours, theirs)
    assert_shared(ours)


@pytest.mark.parametrize("path", ["weight_hh_l0", "cells.0.hidden_to_hidden.weight"])
def test_functional_call_leaves_none_of_its_tensors_in_the_layer(path: str) -> None:
    layer, _ = both("GRU")
    product = 2 * layer.weight_hh_l0
    functional_call(layer, {path: product}, (inputs(layer),), tie_weights=False)
    copy.deepcopy(layer)  # raises for a tensor with a graph


def test_a_state_dict_shows_what_was_just_assigned_to_a_linear() -> None:
    layer, _ = both("GRU")
    layer.cells[0].hidden_to_hidden.weight = nn.Parameter(torch.zeros(12, 4, **FLOAT64))
    assert layer.state_dict()["weight_hh_l0"].abs().max() == 0


def test_a_deleted_weight_raises_attribute_error() -> None:
    layer, _ = both("GRU")
    del layer.weight_hh_l0
    with pytest.raises(AttributeError, match="weight_hh_l0"):
        output_of(layer)


SHARDED = """
import sys
import torch, torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
import scratch_cells

dist.init_process_group("gloo", init_method="file://" + sys.argv[1], rank=0, world_size=1)
mesh = init_device_mesh("cpu", (1,))
x = torch.randn(5, 2, 3)

def step(model):
    model(x)[0].sum().backward()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.step()
    assert all(weight.grad is not None for weight in model.parameters())
    return model(x)[0]

def wrapped(how):
    torch.manual_seed(0)
    layer = scratch_cells.GRU(3, 4, 2)
    if how == "ddp":
        return DistributedDataParallel(layer)
    for module in {"layer": [], "linears": [cell.hidden_to_hidden for cell in layer.cells],
                   "cells": layer.cells}.get(how, []):
        fully_shard(module, mesh=mesh)
    return layer if how == "none" else fully_shard(layer, mesh=mesh)

expected = step(wrapped("none"))
for how in ("ddp", "layer", "linears"):
    torch.testing.assert_close(step(wrapped(how)), expected)
try:
    wrapped("cells")(x)
except RuntimeError as error:
    print(error)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_ddp_and_fully_shard_give_the_same_step(tmp_path: Path) -> None:
    """Or one line that names the remedy, for a cell, which its layer does not call as a module."""
    command = [sys.executable, "-W", "ignore", "-c", SHARDED, str(tmp_path / "store")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    assert line.startswith("cells.0 was sharded by fully_shard")
    assert "call fully_shard with the layer" in line


@each_layer
@pytest.mark.parametrize("backend", ["auto", "plain", "c"])
@pytest.mark.parametrize("weight", ["weight_ih_l0", "weight_hh_l1"])
def test_a_weight_that_is_none_raises_type_error(weight: str, backend: str, kind: str) -> None:
    layer = getattr(scratch_cells, kind)(3, 4, 2, backend=backend)
    setattr(layer, weight, None)
    with pytest.raises(TypeError, match="must be Tensor, not NoneType"):
        layer(torch.randn(5, 2, 3))


def extra(path: str) -> Callable[[Any], Any]:
    """Register one more parameter in a module."""
    return lambda layer: layer.get_submodule(path).register_parameter(
        "extra", nn.Parameter(torch.ones(1))
    )


PARAMETERS: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda layer: None,
    "of the layer": extra(""),
    "of the list": extra("cells"),
    "of a cell": extra("cells.1"),
    "of a linear": extra("cells.1.hidden_to_hidden"),
    "a wrapper": lambda layer: setattr(
        layer.cells[0], "input_to_hidden", nn.Sequential(layer.cells[0].input_to_hidden)
    ),
    "another module": lambda layer: setattr(layer, "readout", nn.Linear(4, 2)),
    "a module of a linear": lambda layer: setattr(
        layer.cells[0].hidden_to_hidden, "adapter", nn.Linear(4, 2)
    ),
    "tied biases": lambda layer: setattr(layer, "bias_hh_l0", layer.bias_ih_l0),
    "a new weight": lambda layer: setattr(
        layer.cells[0].hidden_to_hidden, "weight", nn.Parameter(torch.ones(16, 4))
    ),
    "no bias": lambda layer: setattr(layer.cells[0].hidden_to_hidden, "bias", None),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("change", PARAMETERS)
def test_the_parameters_are_those_that_torch_finds(change: str, bias: bool) -> None:
    if not bias and change == "tied biases":
        pytest.skip("without biases there are none to tie")
    layer = scratch_cells.LSTM(3, 4, num_layers=2, bias=bias)
    PARAMETERS[change](layer)
    for options in ({}, {"prefix": "a.b"}, {"recurse": False}, {"remove_duplicate": False}):
        got = list(layer.named_parameters(**options))
        expected = list(nn.Module.named_parameters(layer, **options))
        assert [name for name, _ in got] == [name for name, _ in expected]
        assert all(one is other for (_, one), (_, other) in zip(got, expected, strict=True))
