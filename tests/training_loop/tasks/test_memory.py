"""training_loop/tasks/memory.py: the targets follow from the sequences, by another program."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from training_loop.config import Config
from training_loop.runtime.accelerator import start_accelerator
from training_loop.tasks import memory
from training_loop.tasks.load import load_task
from training_loop.tasks.memory import (
    AddingTask,
    CopyTask,
    Drawn,
    DrawnSequences,
    draw_adding,
    draw_copy,
)
from training_loop.tasks.objective import Result
from training_loop.tasks.task import Placement

LENGTHS = pytest.mark.parametrize("length", [2, 3, 10, 31])


@pytest.fixture(autouse=True)
def small_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "TRAINING", 60)
    monkeypatch.setattr(memory, "TEST", 40)


def generator(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def check_adding(sequences: Tensor, sums: Tensor, length: int) -> None:
    """Each sequence has two marks, one in each half, and its target is the sum of their numbers."""
    assert sequences.shape == (len(sums), length, 2)
    for sequence, target in zip(sequences.tolist(), sums.tolist(), strict=True):
        assert all(0 <= number < 1 for number, _ in sequence)
        marks = [mark for _, mark in sequence]
        assert sorted(marks) == [0.0] * (length - 2) + [1.0, 1.0]
        assert sum(marks[: length // 2]) == 1
        assert target == pytest.approx(sum(number for number, mark in sequence if mark))


def check_copy(sequences: Tensor, symbols: Tensor, length: int) -> None:
    """What a program would read: the symbols before the pause are those of the target."""
    assert sequences.shape == (len(symbols), length + 20, 10)
    for sequence, target in zip(sequences.tolist(), symbols.tolist(), strict=True):
        assert all(sorted(step) == [0.0] * 9 + [1.0] for step in sequence)
        read = "".join(str(step.index(1.0)) for step in sequence)
        written = "".join(map(str, target))
        assert read == written + "8" * (length - 1) + "9" + "8" * 10
        assert all(symbol in "01234567" for symbol in written)


CHECKS = {draw_adding: check_adding, draw_copy: check_copy}


@LENGTHS
@pytest.mark.parametrize("draw", CHECKS)
def test_the_targets_follow_from_the_sequences(draw: Callable[..., Drawn], length: int) -> None:
    CHECKS[draw](*draw(50, length, generator(length)), length)


def first_half_twice(count: int, length: int, generator: Generator) -> Drawn:
    sequences, sums = draw_adding(count, length, generator)
    sequences[:, :, 1] = sequences[:, :, 1].roll(-(length // 2), dims=1)
    return sequences, sums


def sum_of_all(count: int, length: int, generator: Generator) -> Drawn:
    sequences, _ = draw_adding(count, length, generator)
    return sequences, sequences[:, :, 0].sum(dim=1)


def shifted_symbols(count: int, length: int, generator: Generator) -> Drawn:
    sequences, symbols = draw_copy(count, length, generator)
    return sequences, symbols.roll(1, dims=1)


def early_delimiter(count: int, length: int, generator: Generator) -> Drawn:
    sequences, symbols = draw_copy(count, length, generator)
    return sequences.roll(-1, dims=1), symbols


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        (first_half_twice, check_adding),
        (sum_of_all, check_adding),
        (shifted_symbols, check_copy),
        (early_delimiter, check_copy),
    ],
)
def test_a_planted_bug_is_caught(wrong: Callable[..., Drawn], check: Callable[..., None]) -> None:
    with pytest.raises(AssertionError):
        check(*wrong(50, 10, generator()), 10)


def test_every_step_and_symbol_is_drawn() -> None:
    sequences, _ = draw_adding(1000, 9, generator())
    assert (sequences[:, :, 1].mean(dim=0) > 0.1).all()  # expected: 1/4 or 1/5
    _, symbols = draw_copy(500, 2, generator())
    assert (F.one_hot(symbols, 8).float().mean(dim=0) > 0.05).all()  # expected: 1/8


def test_guessing_has_the_stated_loss() -> None:
    _, sums = draw_adding(20_000, 4, generator())
    always_one = AddingTask.objective.measure(torch.ones(20_000, 1), sums)
    assert always_one.loss == pytest.approx(AddingTask.objective.guessing, rel=0.03)
    always_zero = AddingTask.objective.measure(torch.zeros(20_000, 1), sums)
    assert always_zero.loss == pytest.approx(AddingTask.objective.untrained, rel=0.03)
    _, symbols = draw_copy(100, 4, generator())
    uniform = CopyTask.objective.measure(torch.zeros(100, 10, 8), symbols)
    assert uniform.loss == pytest.approx(CopyTask.objective.guessing) == math.log(8)


def test_a_sum_is_right_within_a_tolerance_and_a_symbol_if_it_is_the_most_likely() -> None:
    sums = AddingTask.objective.measure(
        torch.tensor([[1.03], [1.05], [0.5]]), torch.tensor([1.0, 1.0, 0.5])
    )
    assert sums.accuracy == 2 / 3
    assert sums.loss == pytest.approx((0.03**2 + 0.05**2) / 3, rel=1e-4)
    symbols = torch.arange(20).view(2, 10) % 8
    logits = F.one_hot(symbols, 8).float()
    logits[1, :5] = logits[1, :5].roll(1, dims=1)
    found = CopyTask.objective.measure(logits, symbols)
    assert found.accuracy == 0.75
    right = math.log(math.e + 7) - 1
    assert found.loss == pytest.approx(right + 0.25, rel=1e-4)  # a wrong answer costs 1 nat more


@pytest.mark.parametrize(
    ("task", "result", "expected"),
    [
        (AddingTask, Result(0.009, 0.1), True),
        (AddingTask, Result(0.011, 1.0), False),
        (CopyTask, Result(9.0, 0.995), True),
        (CopyTask, Result(0.0, 0.99), False),
    ],
)
def test_the_criterion_of_success(task: type, result: Result, expected: bool) -> None:
    name = "adding" if task is AddingTask else "copy"
    made = task(Config(task=name, length=5), Placement())
    assert made.succeeded(result) is expected
    assert made.summary(result).endswith(", success" if expected else ", no success")


def sequences(batch_size: int = 7, placement: Placement = Placement()) -> DrawnSequences:  # noqa: B008
    return DrawnSequences(lambda n, g: draw_adding(n, 6, g), 30, 0, batch_size, placement)


def test_each_epoch_of_each_seed_has_its_own_sequences() -> None:
    drawn = sequences()
    sets = [torch.cat([batch.labels for batch in drawn])]
    for seed, epoch in ((0, 1), (0, 2), (1, 1), (2, 0)):
        sets.append(torch.cat([batch.labels for batch in drawn.shuffled(seed, epoch)]))
    for n, one in enumerate(sets):
        for other in sets[n + 1 :]:
            assert not set(one.tolist()) & set(other.tolist())
    again = torch.cat([batch.labels for batch in sequences().shuffled(0, 2)])
    assert torch.equal(again, sets[2])


@pytest.mark.parametrize("start", [0, 1, 4])
def test_an_epoch_can_be_started_at_any_batch(start: int) -> None:
    whole, rest = (list(sequences().shuffled(3, 1, first)) for first in (0, start))
    assert [batch.size for batch in whole] == [7, 7, 7, 7, 2]
    for batch, expected in zip(rest, whole[start:], strict=True):
        assert torch.equal(batch.sequences, expected.sequences)
        assert torch.equal(batch.labels, expected.labels)


def test_two_processes_share_the_batches() -> None:
    alone = list(sequences().shuffled(0, 1))
    parts = [list(sequences(placement=Placement("cpu", n, 2)).shuffled(0, 1)) for n in (0, 1)]
    for whole, first, second in zip(alone, *parts, strict=True):
        indices = torch.cat([first.indices, second.indices])
        labels = torch.cat([first.labels, second.labels])
        assert torch.equal(labels[indices.argsort()], whole.labels)
        assert first.size == second.size == whole.size


@pytest.mark.parametrize("name", ["adding", "copy"])
def test_validation_sequences_are_no_test_sequences(name: str) -> None:
    accelerator = start_accelerator("cpu")
    tested, validated = (
        load_task(Config(task=name, length=5, validation=flag), accelerator).test_set
        for flag in (False, True)
    )
    assert not torch.equal(tested.labels, validated.labels)
    assert tested.num_sequences == 40
    assert torch.equal(tested.first(3), next(iter(tested)).sequences[:3])
