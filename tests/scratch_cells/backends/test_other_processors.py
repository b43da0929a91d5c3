"""The C kernels on a 64-bit ARM processor, which is emulated, and compiled by clang.

The backend's own tests are run with a library that is in another process.
"""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scratch_cells.backends import c_backend, c_call
from tests.helpers import other_processor
from tests.helpers.backends import each_unprojected_kind, layers_with, needs_c
from tests.helpers.oracles import assert_same
from tests.helpers.other_processor import RemoteLibrary, library_of, problem_of
from tests.helpers.strategies import Configuration, configurations
from tests.scratch_cells.backends.test_c_backend import (
    BATCHES,
    compare_with_the_reference_loop,
)

pytestmark = needs_c

ARM_GCC, ARM_EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
ELSEWHERE = {
    "aarch64": ([ARM_GCC, "-march=armv8-a"], [ARM_EMULATOR, "-L", "/usr/aarch64-linux-gnu"]),
    "clang": (["clang", "-march=native"], []),
}
"""Compiler and how to run its programs. OpenMP of clang is in the other process only."""


@pytest.fixture(scope="module", params=ELSEWHERE)
def libraries(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[torch.dtype, RemoteLibrary]]:
    """The library of each dtype elsewhere."""
    compiler, run = ELSEWHERE[request.param]
    folders = [tmp_path_factory.mktemp(request.param) for _ in range(2)]
    if reason := problem_of(compiler, run, folders[0]):
        pytest.skip(reason)
    with (
        library_of(compiler, run, folders[0]) as of_float,
        library_of([*compiler, "-DDOUBLE"], run, folders[1]) as of_double,
    ):
        yield {torch.float32: of_float, torch.float64: of_double}


@pytest.fixture
def elsewhere(libraries: dict[torch.dtype, RemoteLibrary], monkeypatch: pytest.MonkeyPatch) -> None:
    """The C backend calls the library that is elsewhere, with as many threads as torch has."""
    for module in (c_backend, c_call):
        monkeypatch.setattr(module, "load_library", lambda dtype: (libraries[dtype], ""))
    monkeypatch.setattr(c_backend, "MIN_PARALLEL_MULTIPLY_ADDS", 0)


@each_unprojected_kind
@pytest.mark.usefixtures("elsewhere")
@given(
    time=st.integers(1, 3), batch=BATCHES, size=st.integers(1, 40), threads=st.sampled_from([1, 3])
)
@settings(max_examples=settings().max_examples // 3)
def test_every_size_equals_the_reference_loop(
    kind: str, time: int, batch: int, size: int, threads: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch, "get_num_threads", lambda: threads)
        patched.setattr(c_backend, "shares_units", lambda *sizes: size % 2 == 0)
        compare_with_the_reference_loop(kind, time, batch, size)


@pytest.mark.parametrize("shares_units", [False, True])
@pytest.mark.parametrize(("kind", "size"), [("RNN", 370), ("GRU", 210), ("LSTM", 190)])
@pytest.mark.usefixtures("elsewhere")
def test_weights_larger_than_the_cache_equal_the_reference_loop(
    kind: str, size: int, shares_units: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_processor, "REACH", 2**21)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(c_backend, "shares_units", lambda *sizes: shares_units)
    compare_with_the_reference_loop(kind, 2, 7, size)


@pytest.mark.usefixtures("elsewhere")
@given(configurations(dtype=torch.float32, layouts=("batched", "unbatched")))
@settings(max_examples=settings().max_examples // 3)
def test_float32_equals_torch_nn(configuration: Configuration) -> None:
    ours, theirs = configuration.build(layers_with("c")), configuration.build(torch.nn)
    assert_same(ours, theirs, configuration, torch.float32)
