"""The layer of torch.nn that computes the same as a given layer, also a user's own."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from cell_verifier import verify
from cell_verifier.errors import CannotCheckError
from cell_verifier.identification.identify import identify
from cell_verifier.parameters.correspondence import named_parameters
from cell_verifier.parameters.multi_layer import arrangements
from cell_verifier.reference.kinds import KINDS, Kind
from cell_verifier.reference.simulate import LayerConfig
from cell_verifier.reference.torch_modules import torch_module, torch_weights
from command_line.errors import one_line
from gate_explorer.errors import ExplorerError
from scratch_cells import to_torch

BATCH, TIME = 3, 7  # of the comparison
TOLERANCE = 1e-10  # in float64, relative to outputs of about 1


def torch_layer_of(layer: nn.Module, name: str) -> nn.RNNBase:
    """A copy of ``layer`` as torch.nn's RNN, GRU or LSTM, in float32 on the CPU.

    A layer of scratch_cells or torch.nn is converted. A layer of any other class is verified first
    (see ``cell_verifier``), and its trained weights are then compared as well.

    Args:
        layer: a layer with torch.nn's interface.
        name: of the model, for the message.

    Raises:
        ExplorerError: the layer computes something else; the message is one sentence.
    """
    try:
        converted = to_torch(layer)
    except TypeError:  # a custom cell
        converted = layer
    if not isinstance(converted, nn.RNNBase) or type(converted).forward not in FORWARDS:
        converted = _verified(layer, name)
    return converted.cpu().float().eval()


FORWARDS = tuple(kind.forward for kind in (nn.RNN, nn.GRU, nn.LSTM))
"""A subclass of torch.nn's layer with another forward may compute something else."""


def _verified(layer: nn.Module, name: str) -> nn.RNNBase:
    for kind in KINDS.values():
        if verify(type(layer), against=kind.name).verdict == "equal":
            for candidate in _candidates(layer, kind):
                if _largest_difference(layer, candidate) < TOLERANCE:
                    return candidate
    raise ExplorerError(
        f"{name} is not shown: the verifier finds that it differs from torch.nn's RNN, GRU and "
        "LSTM, whose equations the live page has; without --live, the page shows any cell"
    )


def _candidates(layer: nn.Module, kind: Kind) -> Iterator[nn.RNNBase]:
    """Layers of torch.nn with the trained weights of ``layer``, the most likely first."""
    num_layers, hidden_size = int(layer.num_layers), int(layer.hidden_size)  # type: ignore[arg-type]
    config = LayerConfig(num_layers, 2 if layer.bidirectional else 1, batch_first=True)
    try:
        subject = identify(type(layer), kind, None).subject
    except CannotCheckError:
        return
    parameters = {
        parameter: value.detach().cpu().double()
        for parameter, value in named_parameters(layer).items()
    }
    found = arrangements(
        subject.correspondence,
        list(named_parameters(subject.construct())),
        parameters,
        config,
        int(layer.input_size),  # type: ignore[arg-type]
        hidden_size,
    )
    for arrangement in found:
        weights = arrangement.read(parameters)
        candidate = torch_module(kind, weights[0], config, batch_first=True).double()
        candidate.load_state_dict(torch_weights(weights, config.num_directions))
        assert isinstance(candidate, nn.RNNBase)
        yield candidate


@torch.no_grad()
def _largest_difference(layer: nn.Module, candidate: nn.RNNBase) -> float:
    """The largest difference of the outputs and the final states, in float64."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, TIME, candidate.input_size, generator=generator, dtype=torch.float64)
    dtype = next(layer.parameters()).dtype
    try:
        returned = layer.double().eval()(x)
    except RuntimeError as error:
        raise ExplorerError(f"the layer cannot be run in float64: {one_line(error)}") from error
    finally:
        layer.to(dtype)
    differences = [
        float((ours - theirs).abs().max())
        for ours, theirs in zip(_tensors(returned), _tensors(candidate(x)), strict=True)
    ]
    return max(differences)


def _tensors(returned: object) -> list[Tensor]:
    """The tensors of (output, state), in order."""
    if isinstance(returned, Tensor):
        return [returned]
    assert isinstance(returned, tuple | list)
    return [tensor for each in returned for tensor in _tensors(each)]
