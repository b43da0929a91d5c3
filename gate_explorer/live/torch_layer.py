"""The layer of torch.nn that computes the same as a given layer, also a user's own."""

import copy
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
from gate_explorer.errors import ExplorerError
from scratch_cells import to_torch
from shared_interface import SequenceClassifier

BATCH, TIME = 3, 7  # of the comparison of trained weights
TOLERANCE = 1e-4  # in float32; weights in a wrong place differ by more
FORWARDS = tuple(kind.forward for kind in (nn.RNN, nn.GRU, nn.LSTM))
"""A subclass of torch.nn's layer with another forward may compute something else."""


def torch_layer_of(model: SequenceClassifier, input_size: int, name: str) -> nn.RNNBase:
    """A copy of a classifier's layer as torch.nn's RNN, GRU or LSTM, in float32 on the CPU.

    A layer of scratch_cells or torch.nn is converted. A layer of any other class is verified first
    (see ``cell_verifier``), and then run with its trained weights and compared.

    Args:
        model: a classifier on a layer with torch.nn's interface.
        input_size: number of features of one time step.
        name: of the model, for the message.

    Raises:
        ExplorerError: the layer computes something else; the message is one sentence.
    """
    assert isinstance(model.layer, nn.Module)
    try:
        converted = to_torch(model.layer)
    except TypeError:  # a custom cell
        converted = model.layer
    if not isinstance(converted, nn.RNNBase) or type(converted).forward not in FORWARDS:
        layer = copy.deepcopy(model.layer).cpu().float().eval()
        converted = _verified(layer, input_size, model.directions, name)
    return converted.cpu().float().eval()


def _verified(layer: nn.Module, input_size: int, directions: int, name: str) -> nn.RNNBase:
    for kind in KINDS.values():
        if verify(type(layer), against=kind.name).verdict == "equal":
            for candidate in _candidates(layer, kind, input_size, directions):
                if _largest_difference(layer, candidate) < TOLERANCE:
                    return candidate
    raise ExplorerError(
        f"{name} is not shown: the verifier finds that it differs from torch.nn's RNN, GRU and "
        "LSTM, whose equations the live page has; without --live, the page shows any cell"
    )


def _candidates(
    layer: nn.Module, kind: Kind, input_size: int, directions: int
) -> Iterator[nn.RNNBase]:
    """Layers of torch.nn with the trained weights of ``layer``, the most likely first."""
    try:
        subject = identify(type(layer), kind, None).subject
    except CannotCheckError:
        return
    base_names = list(named_parameters(subject.construct()))
    parameters = {each: value.detach() for each, value in named_parameters(layer).items()}
    num_layers = len(parameters) // (len(base_names) * directions)
    config = LayerConfig(num_layers, directions, batch_first=True)
    hidden_size = int(layer.hidden_size)  # type: ignore[arg-type]
    for arrangement in arrangements(
        subject.correspondence, base_names, parameters, config, input_size, hidden_size
    ):
        weights = arrangement.read(parameters)
        candidate = torch_module(kind, weights[0], config, batch_first=True)
        candidate.load_state_dict(torch_weights(weights, directions))
        assert isinstance(candidate, nn.RNNBase)
        yield candidate


@torch.no_grad()
def _largest_difference(layer: nn.Module, candidate: nn.RNNBase) -> float:
    """The largest difference of the outputs and the final states."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, TIME, candidate.input_size, generator=generator)
    differences = [
        float((ours - theirs).abs().max())
        for ours, theirs in zip(_tensors(layer(x)), _tensors(candidate(x)), strict=True)
    ]
    return max(differences)


def _tensors(returned: object) -> list[Tensor]:
    """The tensors of (output, state), in order."""
    if isinstance(returned, Tensor):
        return [returned]
    assert isinstance(returned, tuple | list)
    return [tensor for each in returned for tensor in _tensors(each)]
