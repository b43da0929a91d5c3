"""shared_interface/implementations.py: an option names a class."""

import pytest

from shared_interface import ImplementationError, implementation_target


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize(
    ("implementation", "package"), [("scratch", "scratch_cells"), ("builtin", "builtin_models")]
)
def test_scratch_and_builtin_name_their_layer(implementation: str, package: str, cell: str) -> None:
    assert implementation_target(implementation, cell) == f"{package}:{cell.upper()}"


def test_a_class_of_the_user_is_returned_unchanged() -> None:
    assert implementation_target("my_cells.py:Mine", "gru") == "my_cells.py:Mine"
    assert implementation_target("torch.nn:GRU") == "torch.nn:GRU"


def test_an_unknown_implementation_gives_the_choices() -> None:
    message = (
        "^implementation is 'magic': "
        "expected scratch, builtin, FILE.py:CLASS or package.module:CLASS$"
    )
    with pytest.raises(ImplementationError, match=message):
        implementation_target("magic")


@pytest.mark.parametrize("implementation", ["scratch", "builtin"])
def test_an_unknown_cell_gives_the_choices(implementation: str) -> None:
    with pytest.raises(ImplementationError, match="cell is 'mgu': expected one of rnn, gru, lstm"):
        implementation_target(implementation, "mgu")
