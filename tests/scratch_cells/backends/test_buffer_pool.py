"""The buffer pool reuses memory that no tensor uses, and keeps a limited amount of it."""

import os
import resource
import subprocess
import sys
import threading
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import scratch_cells
from scratch_cells.backends import buffer_pool
from scratch_cells.backends.buffer_pool import BufferPool
from tests.helpers.oracles import assert_same
from tests.helpers.paths import ROOT
from tests.helpers.strategies import Configuration, configurations

LIKE = torch.zeros((), dtype=torch.float32)
MIB = 2**20


def test_a_block_is_reused_after_its_last_view_is_freed() -> None:
    pool = BufferPool()
    whole = pool.empty(2, MIB, like=LIKE)
    assert (whole.shape, whole.dtype, whole.is_contiguous()) == ((2, MIB), torch.float32, True)
    place, view = whole.data_ptr(), whole[1, 5:]
    del whole
    assert pool.free_bytes == 0
    assert pool.empty(2, MIB, like=LIKE).data_ptr() != place
    del view
    assert pool.free_bytes == 2 * 8 * MIB  # this one, and the one above that was freed at once
    again = [pool.empty(2, MIB, like=LIKE) for _ in range(2)]
    assert place in [tensor.data_ptr() for tensor in again]
    assert pool.free_bytes == 0


def test_a_block_is_reused_for_requests_of_similar_size() -> None:
    pool = BufferPool()
    place = pool.empty(5, MIB, like=LIKE).data_ptr()
    for rows, fits in ((6, False), (3, False), (4, True), (5, True)):
        assert (pool.empty(rows, MIB, like=LIKE).data_ptr() == place) == fits
        pool._free = {k: b for k, b in pool._free.items() if b.data_ptr() == place}
    double = pool.empty(2, MIB, like=LIKE.double())  # 16 MiB, in the block of 20
    assert (double.data_ptr() == place, double.dtype) == (True, torch.float64)
    assert double.data_ptr() % 64 == 0  # as torch aligns its own


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("inference", [True, False])
@given(
    shape=st.lists(st.integers(0, 5), max_size=4),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
)
def test_an_allocator_gives_what_torch_empty_gives(
    private: bool, inference: bool, shape: list[int], dtype: torch.dtype
) -> None:
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode(inference):
        if not private:
            patch.setattr(buffer_pool, "EMPTY_CPU", None)
        with torch.device("meta"):  # the default device has no effect
            new = buffer_pool.allocator(*shape, dtype=dtype)
            got, other = new(), new()
        expected = torch.empty(shape, dtype=dtype)
        assert (got.shape, got.stride()) == (expected.shape, expected.stride())
        assert (got.dtype, got.device, got.layout) == (dtype, expected.device, expected.layout)
        assert got.is_inference() == expected.is_inference()
        assert got.untyped_storage().nbytes() >= expected.nbytes
        assert not expected.numel() or got.data_ptr() != other.data_ptr()


def test_torch_has_its_private_function() -> None:
    """Otherwise a change of torch would only make every call slower."""
    assert buffer_pool.EMPTY_CPU is not None


def test_large_tensors_of_an_allocator_may_be_freed_and_come_from_the_pool() -> None:
    pool = BufferPool()
    new = pool.allocator(2 * MIB, torch.float32)
    place = new().data_ptr()
    assert new().data_ptr() == place
    large = buffer_pool.allocator(4, MIB, dtype=torch.float32)()
    assert (large.shape, large.is_contiguous()) == ((4, MIB), True)
    large.untyped_storage().resize_(0)  # it is its own memory


def test_small_tensors_and_other_devices_do_not_use_the_pool() -> None:
    pool = BufferPool()
    pool.empty(MIB // 4 - 1, like=LIKE)
    pool.empty(MIB, like=LIKE.to("meta"))
    pool.empty(0, MIB, like=LIKE)
    assert pool.free_bytes == 0
    pool.empty(MIB // 4, like=LIKE)
    assert pool.free_bytes == MIB


def test_the_pool_does_not_exceed_its_maximum_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer_pool, "MAX_BYTES", 10 * MIB)
    pool = BufferPool()
    sizes = [1, 3, 8]
    held = [pool.empty(size, MIB // 4, like=LIKE) for size in sizes]
    del held[0]
    assert pool.free_bytes == MIB
    del held[0]
    assert pool.free_bytes == 4 * MIB
    del held[0]  # the two least recently used blocks are freed
    assert pool.free_bytes == 8 * MIB
    pool.empty(11, MIB // 4, like=LIKE)
    assert pool.free_bytes == 0
    pool.empty(10, MIB // 4, like=LIKE)
    assert pool.free_bytes == 10 * MIB
    pool.clear()
    assert pool.free_bytes == 0


@given(st.lists(st.tuples(st.sampled_from("edv"), st.integers(0, 9)), max_size=40))
def test_memory_in_use_is_never_reused(operations: list[tuple[str, int]]) -> None:
    """Allocate, free and view in any order: every tensor keeps the values written to it."""
    pool = BufferPool()
    held: list[tuple[Tensor, float]] = []
    for number, (operation, amount) in enumerate(operations):
        if operation == "e":
            tensor = pool.empty(MIB // 4 + amount, like=LIKE).fill_(number)
            held.append((tensor, float(number)))
        elif held:
            tensor, value = held.pop(amount % len(held))
            if operation == "v":
                held.append((tensor[amount:], value))
            del tensor
        for tensor, value in held:
            assert bool((tensor == value).all())


def test_threads_do_not_overwrite_each_other() -> None:
    pool = BufferPool()
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(300):
            tensor = pool.empty(MIB // 4, like=LIKE).fill_(number)
            if not bool((tensor == number).all()):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert pool.free_bytes <= 8 * MIB  # a thread holds one block while it requests the next


# --- the layers ---------------------------------------------------------------------------------


@pytest.fixture
def always_pooled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer_pool, "MIN_BYTES", 1)
    monkeypatch.setattr(buffer_pool, "MAX_OVERSIZE", 1000)
    take = BufferPool._take

    def filled_with_nan(self: BufferPool, size: int) -> Tensor:
        return take(self, size).fill_(255)  # nan, in every dtype

    monkeypatch.setattr(BufferPool, "_take", filled_with_nan)


@pytest.mark.usefixtures("always_pooled")
@given(configurations(layouts=("batched", "unbatched")))
def test_layers_read_only_what_they_have_written(configuration: Configuration) -> None:
    """Blocks are reused between layers and calls; here they are filled with nan at first."""
    ours, theirs = configuration.build(scratch_cells), configuration.build(nn)
    assert_same(ours, theirs, configuration, torch.float64)
    assert_same(ours, theirs, configuration, torch.float64)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_two_graphs_do_not_share_buffers(kind: str) -> None:
    """The buffers of a call are in use until its graph is freed."""
    torch.manual_seed(0)
    layer = getattr(scratch_cells, kind)(3, 64)
    first, second = torch.randn(2, 100, 64, 3).requires_grad_()
    alone = [torch.autograd.grad(layer(x)[0].sum(), layer.parameters()) for x in (first, second)]
    losses = [layer(x)[0].sum() for x in (first, second)]
    for loss, expected in zip(losses, alone, strict=True):
        for _ in range(2):
            got = torch.autograd.grad(loss, layer.parameters(), retain_graph=True)
            assert all(map(torch.equal, got, expected))


PAGE_FAULTS = """
import gc, resource, sys
import torch
import scratch_cells
from scratch_cells.backends import buffer_pool

x = torch.randn(800, 100, 1)  # h takes 39 MiB; glibc returns blocks above 32 MiB to the system
min_bytes = buffer_pool.MIN_BYTES

def faults_of_a_step(layer):
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    layer(x)[1][0].sum().backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

for kind in sys.argv[1:]:
    layer = getattr(scratch_cells, kind)(1, 128)
    faults = []
    for buffer_pool.MIN_BYTES in min_bytes, 2**40:
        buffer_pool.BUFFER_POOL.clear()
        faults_of_a_step(layer)
        faults.append(faults_of_a_step(layer))
    print(kind, *faults)
"""


@cache
def page_faults() -> dict[str, tuple[int, int]]:
    """For each layer, page faults of its second training step with and without the pool.

    In a process whose allocator no other test has changed.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", PAGE_FAULTS, "RNN", "GRU", "LSTM"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = map(str.split, done.stdout.splitlines())
    return {kind: (int(pooled), int(not_pooled)) for kind, pooled, not_pooled in rows}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="page faults are counted as on Linux")
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_training_step_reuses_the_memory_of_the_last_one(kind: str) -> None:
    """Outputs take new memory with and without the pool; the buffer of h, at least, does not."""
    pooled, not_pooled = page_faults()[kind]
    pages = 800 * 100 * 128 * 4 // resource.getpagesize()  # of h alone
    assert not_pooled - pooled > 0.9 * pages


def test_outputs_from_the_pool_can_be_saved_shared_and_changed(tmp_path: Any) -> None:
    layer = scratch_cells.LSTM(3, 64)
    with torch.no_grad():
        output, _ = layer(torch.randn(100, 64, 3))
    assert output.untyped_storage().nbytes() >= MIB
    torch.save(output, tmp_path / "output.pt")
    assert torch.equal(torch.load(tmp_path / "output.pt"), output)
    copy = output.clone()
    assert torch.equal(output.share_memory_(), copy)
    assert torch.equal(output.add_(1), copy + 1)
