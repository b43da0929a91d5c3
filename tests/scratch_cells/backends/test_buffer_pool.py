"""Memory that comes back: never while it is in use, never more than is wanted."""

import gc
import resource
import sys
import threading
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import scratch_cells
from scratch_cells.backends import buffer_pool as memory
from scratch_cells.backends.buffer_pool import RESERVE, Reserve
from tests.helpers.oracles import assert_same
from tests.helpers.strategies import Configuration, configurations

LIKE = torch.zeros((), dtype=torch.float32)
MIB = 2**20


def test_a_block_comes_back_when_the_last_that_shares_it_is_gone() -> None:
    reserve = Reserve()
    whole = reserve.empty(2, MIB, like=LIKE)
    assert (whole.shape, whole.dtype, whole.is_contiguous()) == ((2, MIB), torch.float32, True)
    place, view = whole.data_ptr(), whole[1, 5:]
    del whole
    assert reserve.kept == 0
    assert reserve.empty(2, MIB, like=LIKE).data_ptr() != place
    del view
    assert reserve.kept == 2 * 8 * MIB  # this one, and the one that nobody kept
    again = [reserve.empty(2, MIB, like=LIKE) for _ in range(2)]
    assert place in [tensor.data_ptr() for tensor in again]
    assert reserve.kept == 0


def test_a_block_is_given_to_what_fits_it() -> None:
    reserve = Reserve()
    place = reserve.empty(5, MIB, like=LIKE).data_ptr()
    for rows, fits in ((6, False), (3, False), (4, True), (5, True)):
        assert (reserve.empty(rows, MIB, like=LIKE).data_ptr() == place) == fits
        reserve._free = {k: b for k, b in reserve._free.items() if b.data_ptr() == place}
    double = reserve.empty(2, MIB, like=LIKE.double())  # 16 MiB, in the block of 20
    assert (double.data_ptr() == place, double.dtype) == (True, torch.float64)
    assert double.data_ptr() % 64 == 0  # as torch aligns its own


def test_small_tensors_and_other_devices_go_without() -> None:
    reserve = Reserve()
    reserve.empty(MIB // 4 - 1, like=LIKE)
    reserve.empty(MIB, like=LIKE.to("meta"))
    reserve.empty(0, MIB, like=LIKE)
    assert reserve.kept == 0
    reserve.empty(MIB // 4, like=LIKE)
    assert reserve.kept == MIB


def test_no_more_is_kept_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST", 10 * MIB)
    reserve = Reserve()
    sizes = [1, 3, 8]
    held = [reserve.empty(size, MIB // 4, like=LIKE) for size in sizes]
    del held[0]
    assert reserve.kept == MIB
    del held[0]
    assert reserve.kept == 4 * MIB
    del held[0]  # the longest unused goes, and the next too
    assert reserve.kept == 8 * MIB
    reserve.empty(11, MIB // 4, like=LIKE)
    assert reserve.kept == 0
    reserve.empty(10, MIB // 4, like=LIKE)
    assert reserve.kept == 10 * MIB
    reserve.clear()
    assert reserve.kept == 0


@given(st.lists(st.tuples(st.sampled_from("edv"), st.integers(0, 9)), max_size=40))
def test_what_is_in_use_is_left_alone(doings: list[tuple[str, int]]) -> None:
    """Taking, dropping and viewing in any order: every tensor holds what was written to it."""
    reserve = Reserve()
    held: list[tuple[Tensor, float]] = []
    for number, (what, which) in enumerate(doings):
        if what == "e":
            tensor = reserve.empty(MIB // 4 + which, like=LIKE).fill_(number)
            held.append((tensor, float(number)))
        elif held:
            tensor, value = held.pop(which % len(held))
            if what == "v":
                held.append((tensor[which:], value))
            del tensor
        for tensor, value in held:
            assert bool((tensor == value).all())


def test_threads_share_it() -> None:
    reserve = Reserve()
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(300):
            tensor = reserve.empty(MIB // 4, like=LIKE).fill_(number)
            if not bool((tensor == number).all()):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert reserve.kept <= 8 * MIB  # a thread holds one while it takes the next


# --- the layers ---------------------------------------------------------------------------------


@pytest.fixture
def every_buffer_from_the_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SMALLEST", 1)
    monkeypatch.setattr(memory, "SLACK", 1000)
    take = Reserve._take

    def spoilt(self: Reserve, size: int) -> Tensor:
        return take(self, size).fill_(255)  # nan, in every dtype

    monkeypatch.setattr(Reserve, "_take", spoilt)


@pytest.mark.usefixtures("every_buffer_from_the_reserve")
@given(configurations(layouts=("batched", "unbatched")))
def test_layers_read_nothing_that_they_have_not_written(configuration: Configuration) -> None:
    """Blocks go from layer to layer and from call to call; one that is read too soon is nan."""
    ours, theirs = configuration.build(scratch_cells), configuration.build(nn)
    assert_same(ours, theirs, configuration, torch.float64)
    assert_same(ours, theirs, configuration, torch.float64)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_two_graphs_at_once(kind: str) -> None:
    """The second call's buffers are not the first's, which are wanted until its graph is gone."""
    torch.manual_seed(0)
    layer = getattr(scratch_cells, kind)(3, 64)
    first, second = torch.randn(2, 100, 64, 3).requires_grad_()
    alone = [torch.autograd.grad(layer(x)[0].sum(), layer.parameters()) for x in (first, second)]
    losses = [layer(x)[0].sum() for x in (first, second)]
    for loss, expected in zip(losses, alone, strict=True):
        for _ in range(2):
            got = torch.autograd.grad(loss, layer.parameters(), retain_graph=True)
            assert all(map(torch.equal, got, expected))


@pytest.mark.skipif(sys.platform != "linux", reason="page faults are counted as Linux counts them")
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_step_takes_no_memory_anew(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first; and without the reserve every step would."""
    layer = getattr(scratch_cells, kind)(1, 128)
    x = torch.randn(800, 100, 1)  # glibc keeps no block of more than 32 MiB, and h takes 39

    def faults_of_a_step() -> int:
        gc.collect()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        layer(x)[1][0].sum().backward()
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults_of_a_step()
    pages = 800 * 100 * 128 * 4 // resource.getpagesize()  # of h alone
    assert faults_of_a_step() < pages / 4
    RESERVE.clear()
    monkeypatch.setattr(memory, "SMALLEST", 2**40)
    faults_of_a_step()
    assert faults_of_a_step() > pages


def test_outputs_from_the_reserve_are_tensors_like_any_other(tmp_path: Any) -> None:
    layer = scratch_cells.LSTM(3, 64)
    with torch.no_grad():
        output, _ = layer(torch.randn(100, 64, 3))
    assert output.untyped_storage().nbytes() >= MIB
    torch.save(output, tmp_path / "output.pt")
    assert torch.equal(torch.load(tmp_path / "output.pt"), output)
    copy = output.clone()
    assert torch.equal(output.share_memory_(), copy)
    assert torch.equal(output.add_(1), copy + 1)
