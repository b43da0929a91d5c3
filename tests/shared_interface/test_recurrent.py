"""The final hidden state, the classifier that uses it, and the --implementation option."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

import builtin_models
import scratch_cells
from shared_interface import (
    ImplementationError,
    RecurrentLayer,
    SequenceClassifier,
    final_hidden,
    find_implementation,
)

LAYERS = [
    pytest.param(getattr(package, kind), id=f"{package.__name__}.{kind}")
    for package in (scratch_cells, builtin_models)
    for kind in ("RNN", "GRU", "LSTM")
]


@pytest.mark.parametrize("layer_class", LAYERS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_final_hidden_is_the_end_of_each_sequence_in_each_direction(
    layer_class: type[RecurrentLayer], bidirectional: bool
) -> None:
    """Forward: each sequence's last time step. Reverse: its first time step."""
    torch.manual_seed(0)
    layer = layer_class(3, 4, 2, bidirectional=bidirectional)
    assert isinstance(layer, RecurrentLayer)
    sequences = [torch.randn(length, 3) for length in (2, 5, 3)]
    _, state = layer(pack_sequence(sequences, enforce_sorted=False))
    directions = 2 if bidirectional else 1
    final = final_hidden(state, directions)
    assert final.shape == (3, 4 * directions)
    for sample, x in enumerate(sequences):
        output, alone = layer(x)
        torch.testing.assert_close(final[sample, :4], output[-1, :4])
        torch.testing.assert_close(final[sample, 4:], output[0, 4:])
        torch.testing.assert_close(final_hidden(alone, directions), final[sample])


@pytest.mark.parametrize("layer_class", LAYERS)
def test_classifier_reads_the_final_hidden_state(layer_class: type[RecurrentLayer]) -> None:
    torch.manual_seed(0)
    model = SequenceClassifier(layer_class(3, 4, batch_first=True), 10)
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(model(x), model.readout(model.layer(x)[0][:, -1]))
    both = SequenceClassifier(layer_class(3, 4, batch_first=True, bidirectional=True), 10)
    output, _ = both.layer(x)
    ends = torch.cat([output[:, -1, :4], output[:, 0, 4:]], dim=-1)
    torch.testing.assert_close(both(x), both.readout(ends))


def test_classifier_accepts_any_layer_with_the_interface_of_torch() -> None:
    model = SequenceClassifier(nn.LSTM(3, 4, proj_size=2, bidirectional=True), 10)
    assert model(torch.randn(5, 2, 3)).shape == (2, 10)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_scratch_and_builtin_are_found_by_name(kind: str) -> None:
    assert find_implementation("scratch", kind) is getattr(scratch_cells, kind.upper())
    assert find_implementation("builtin", kind) is getattr(builtin_models, kind.upper())
    assert find_implementation("torch.nn:GRU") is nn.GRU


def test_a_file_of_the_users_and_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_mine.py").write_text("SIZE = 7\n")
    # called like a module that is there already: neither hides the other
    path = tmp_path / "random.py"
    path.write_text(
        "from neighbour_of_mine import SIZE\nimport torch\n"
        "class Mine(torch.nn.GRU):\n    size = SIZE\n"
    )
    found: Any = find_implementation(f"{path}:Mine")
    assert found.size == 7
    import random

    assert hasattr(random, "shuffle")


@pytest.mark.parametrize(
    ("implementation", "message"),
    [
        ("magic", "implementation is 'magic': expected scratch, builtin, path/to/file.py:Name"),
        (":Mine", "implementation is ':Mine': expected"),
        ("mine.py:", "implementation is 'mine.py:': expected"),
        ("no_such_file.py:Mine", "no_such_file.py is no file"),
        ("no_such_module:Mine", "cannot import 'no_such_module': ModuleNotFoundError"),
        ("torch.nn:Nothing", "torch.nn has no 'Nothing'"),
        ("torch:zeros", "torch:zeros is no class"),
    ],
)
def test_what_cannot_be_had_is_one_clear_line(implementation: str, message: str) -> None:
    with pytest.raises(ImplementationError) as caught:
        find_implementation(implementation)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_fails_says_its_own_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("x = 1\nraise KeyError('no\\nluck')\n")
    with pytest.raises(ImplementationError, match=r"cannot run .*broken\.py: KeyError") as caught:
        find_implementation(f"{path}:Mine")
    assert "\n" not in str(caught.value)


def test_an_unknown_cell() -> None:
    with pytest.raises(ImplementationError, match="cell is 'mgu': expected one of rnn, gru, lstm"):
        find_implementation("scratch", "mgu")
