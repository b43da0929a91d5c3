"""The weights have torch.nn's names, for saving and for loading, and torch.nn's initial values."""

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given
from safetensors.torch import load_file, save_file
from torch import nn

import scratch_cells
from tests.helpers.oracles import assert_same, differences, observe
from tests.helpers.strategies import Configuration, configurations

KINDS = ("RNN", "GRU", "LSTM")
DEEP = {"num_layers": 2, "bidirectional": True}


def both(kind: str, *sizes: int, **options: Any) -> tuple[nn.Module, nn.Module]:
    """Our layer or cell and torch.nn's, with different initial weights."""
    return tuple(getattr(package, kind)(*sizes, **options) for package in (scratch_cells, nn))


def assert_same_weights(ours: nn.Module, theirs: nn.Module) -> None:
    a, b = ours.state_dict(), theirs.state_dict()
    assert list(a) == list(b)
    for name in a:
        assert torch.equal(a[name], b[name]), name


@given(configurations())
def test_a_seed_gives_the_weights_and_the_generator_state_of_torch(
    configuration: Configuration,
) -> None:
    ours = configuration.build(scratch_cells)
    after = torch.get_rng_state()
    theirs = configuration.build(nn)
    assert_same_weights(ours, theirs)
    assert torch.equal(after, torch.get_rng_state())
    for layer in (ours, theirs):
        torch.manual_seed(7)
        layer.reset_parameters()
    assert_same_weights(ours, theirs)


@pytest.mark.parametrize("kind", [f"{kind}Cell" for kind in KINDS])
@pytest.mark.parametrize("bias", [True, False])
def test_a_seed_gives_the_weights_of_torchs_cells(kind: str, bias: bool) -> None:
    states = []
    made = []
    for package in (scratch_cells, nn):
        torch.manual_seed(3)
        made.append(getattr(package, kind)(3, 4, bias))
        states.append(torch.get_rng_state())
    assert_same_weights(*made)
    assert torch.equal(*states)
    assert (made[0].bias_ih is None) == (made[1].bias_ih is None) == (not bias)


class NestedModel(nn.Module):
    """A model with a nested recurrent layer."""

    def __init__(self, package: Any, kind: str) -> None:
        super().__init__()
        self.body = nn.ModuleDict({"encoder": getattr(package, kind)(3, 4, **DEEP)})
        self.head = nn.Linear(8, 2)


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_nested_layer_saves_and_loads_torchs_state_dict(kind: str, assign: bool) -> None:
    ours, theirs = NestedModel(scratch_cells, kind), NestedModel(nn, kind)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict(), assign=assign)
    assert_same_weights(ours, theirs)
    fresh = NestedModel(nn, kind)
    fresh.load_state_dict(ours.state_dict(), assign=assign)
    assert_same_weights(ours, fresh)


@pytest.mark.parametrize("kind", KINDS)
def test_assign_keeps_the_given_tensors(kind: str) -> None:
    ours, theirs = both(kind, 3, 4, **DEEP)
    given = theirs.state_dict()
    ours.load_state_dict(given, assign=True)
    for name, tensor in ours.state_dict().items():
        assert tensor.data_ptr() == given[name].data_ptr()


@pytest.mark.parametrize("kind", KINDS)
def test_loading_does_not_change_the_given_dictionary(kind: str) -> None:
    ours, theirs = both(kind, 3, 4, **DEEP)
    given = theirs.state_dict()
    before = dict(given)
    ours.load_state_dict(given)
    assert list(given) == list(before)


def test_missing_and_unexpected_keys_have_torch_names() -> None:
    ours, theirs = both("LSTM", 3, 4)
    weights = theirs.state_dict()
    weights["weight_ih_l9"] = weights.pop("bias_hh_l0")
    for layer in (ours, theirs):
        result = layer.load_state_dict(weights, strict=False)
        assert result.missing_keys == ["bias_hh_l0"]
        assert result.unexpected_keys == ["weight_ih_l9"]
    for model in (NestedModel(scratch_cells, "GRU"), NestedModel(nn, "GRU")):
        weights = model.state_dict()
        del weights["body.encoder.weight_hh_l1_reverse"]
        with pytest.raises(RuntimeError, match=r'"body\.encoder\.weight_hh_l1_reverse"'):
            model.load_state_dict(weights)


def test_loading_a_wrong_size_raises() -> None:
    ours, _ = both("LSTM", 3, 4)
    with pytest.raises(RuntimeError, match=r"size mismatch for .*\[20, 3\].*\[16, 3\]"):
        ours.load_state_dict(nn.LSTM(3, 5).state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_attributes_with_torch_names(kind: str) -> None:
    ours, theirs = both(kind, 3, 4, **DEEP)
    ours.load_state_dict(theirs.state_dict())
    for name in theirs.state_dict():
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
    assert [[w.shape for w in each] for each in ours.all_weights] == [
        [w.shape for w in each] for each in theirs.all_weights
    ]
    with pytest.raises(AttributeError, match="weight_ih_l2"):
        _ = ours.weight_ih_l2
    shared = nn.Parameter(torch.zeros_like(ours.weight_hh_l0))
    ours.weight_hh_l0 = ours.weight_hh_l1 = shared
    assert ours.state_dict(keep_vars=True)["weight_hh_l0"] is shared
    assert len(list(ours.parameters())) == len(list(theirs.parameters())) - 1
    assert ours.flatten_parameters() is None


@pytest.mark.parametrize("kind", KINDS)
def test_shared_and_frozen_weights_get_the_gradients_of_torch(kind: str) -> None:
    configuration = Configuration(kind, {"input_size": 3, "hidden_size": 4, "num_layers": 2})
    layers = configuration.build(scratch_cells), configuration.build(nn)
    for layer in layers:
        layer.weight_hh_l1 = layer.weight_hh_l0
        layer.bias_ih_l0.requires_grad_(False)
    seen = [observe(layer, configuration) for layer in layers]
    assert "grad bias_ih_l0" not in seen[0]
    assert not differences(*seen, torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_copies_are_equal_and_independent(kind: str) -> None:
    configuration = Configuration(kind, {"input_size": 3, "hidden_size": 4, **DEEP})
    original = configuration.build(scratch_cells)
    buffer = io.BytesIO()
    torch.save(original, buffer)
    buffer.seek(0)
    for copied in (
        copy.deepcopy(original),
        pickle.loads(pickle.dumps(original)),
        torch.load(buffer, weights_only=False),
    ):
        assert_same(copied, configuration.build(nn), configuration, torch.float64)
        copied.load_state_dict(configuration.build(nn).state_dict())  # its hooks rename its keys
        with torch.no_grad():
            copied.weight_ih_l0.zero_()
        assert original.weight_ih_l0.abs().max() > 0


def test_safetensors_files_load_into_torch(tmp_path: Any) -> None:
    ours, theirs = both("GRU", 3, 4, **DEEP)
    save_file(ours.state_dict(), tmp_path / "weights.safetensors")
    theirs.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert_same_weights(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_meta_device_default_dtype_and_device_context_are_supported(kind: str) -> None:
    with torch.device("meta"):
        layer = getattr(scratch_cells, kind)(3, 4)
    assert {w.device.type for w in layer.parameters()} == {"meta"}
    layer = layer.to_empty(device="cpu")
    layer.load_state_dict(getattr(nn, kind)(3, 4).state_dict())
    assert layer(torch.zeros(2, 1, 3))[0].isfinite().all()
    torch.set_default_dtype(torch.float64)
    try:
        assert getattr(scratch_cells, kind)(3, 4).weight_ih_l0.dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float16, 2e-3), (torch.bfloat16, 2e-2), (torch.complex64, 1e-6)],
)
@pytest.mark.parametrize("kind", KINDS)
def test_other_dtypes_agree_with_torch(kind: str, dtype: torch.dtype, tolerance: float) -> None:
    """Bit-exact weights, and outputs that differ by a few units in the last place at most."""
    made = []
    for package in (scratch_cells, nn):
        torch.manual_seed(0)
        made.append(getattr(package, kind)(3, 4, dtype=dtype))
    assert_same_weights(*made)
    x = torch.randn(6, 2, 3, dtype=dtype)
    (ours, _), (theirs, _) = (layer(x) for layer in made)
    assert ours.dtype == theirs.dtype == dtype
    assert (ours - theirs).abs().max() <= tolerance


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_gives_the_dtypes_and_values_of_torch(kind: str) -> None:
    """The dtypes and values of torch.nn under CPU autocast, for batched and packed input."""
    torch.manual_seed(0)
    ours, theirs = both(kind, 3, 4, num_layers=2)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(6, 2, 3)
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([6, 2]))
    for sequence in (x, x.bfloat16(), packed):
        seen = []
        for layer in (ours, theirs):
            with torch.autocast("cpu", torch.bfloat16):
                output, state = layer(sequence)
                seen.append(
                    (
                        getattr(output, "data", output),
                        *(state if isinstance(state, tuple) else (state,)),
                    )
                )
        for got, expected in zip(*seen, strict=True):
            assert got.dtype == expected.dtype
            assert (got - expected).abs().max() <= 2e-2
