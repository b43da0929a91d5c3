"""GPU resources of each Triton kernel, measured by compiling it. No GPU is needed.

    python -m benchmarks.kernel_resources                 for an H100, 128 hidden units
    python -m benchmarks.kernel_resources --capability 80 --hidden-sizes 64 256

Prints the registers of a thread, the bytes spilled to its stack, and the shared memory of a
program. The exit status is 1 if a kernel does not compile, spills, or needs too much shared memory.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.table import Table

os.environ["TRITON_INTERPRET"] = "0"  # read when the kernels are imported

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from command_line.program import clean_exit, parse_arguments
from scratch_cells.backends import triton_kernels
from scratch_cells.backends.triton_backend import (
    H100_SHARED_BYTES,
    TritonGRUKernel,
    TritonLSTMKernel,
    TritonRNNTanhKernel,
)

KERNELS = {"rnn": TritonRNNTanhKernel, "gru": TritonGRUKernel, "lstm": TritonLSTMKernel}
PRECISIONS = {"float32": "ieee", "tf32": "tf32", "bfloat16": "ieee"}

MAX_STACK = 64
"""Bytes a thread. The compiler may keep a few values that do not change in the loop on the stack,
so that more programs fit on a multiprocessor; a gate that is spilled takes more."""


@dataclass(frozen=True)
class Arguments:
    """Compile the Triton kernels for a GPU and report the resources that they use."""

    hidden_sizes: tuple[int, ...] = (128,)
    """Sizes of the hidden state of the layer."""
    cells: tuple[Literal["rnn", "gru", "lstm"], ...] = ("rnn", "gru", "lstm")
    """Cells whose kernels are compiled."""
    capability: int = 90
    """Compute capability of the GPU: 80 for an A100, 90 for an H100."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class Resources:
    """Resources of one kernel: registers and bytes of stack a thread, bytes of shared memory."""

    kernel: str
    hidden_size: int
    precision: str
    on_chip: bool
    registers: int
    stack: int
    shared_memory: int

    def problem(self) -> str | None:
        """What exceeds an H100's limits, or None."""
        name = f"{self.kernel}, {self.hidden_size} units, {self.precision}"
        if self.stack > MAX_STACK:
            return f"{name}: {self.stack} bytes of stack, more than {MAX_STACK}"
        if self.shared_memory > H100_SHARED_BYTES:
            return f"{name}: {self.shared_memory} bytes of shared memory, more than an H100 has"
        return None


def resources(cell: str, direction: str, size: int, precision: str, capability: int) -> Resources:
    """Compile one kernel and read its resources."""
    torch.backends.cuda.matmul.fp32_precision = PRECISIONS[precision]
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    kernel_class = KERNELS[cell]
    rows = kernel_class.layout.gate_count * size
    blank = torch.zeros(rows, dtype=dtype)
    weights = torch.zeros(rows, size, dtype=dtype)
    options = kernel_class(weights, weights, blank, blank, time=1).options()
    kernel = getattr(triton_kernels, f"{cell}_{direction}")
    flags = {"H": size, "RELU": False, "SAVE": True, "REVERSE": False}
    constants = {k: v for k, v in (flags | options).items() if k in kernel.arg_names}
    pointer = "*bf16" if dtype == torch.bfloat16 else "*fp32"
    signature = {
        name: "constexpr" if name in constants else "i32" if name in ("T", "B") else pointer
        for name in kernel.arg_names
    }
    # As in a launch: tensors begin at a multiple of 16 bytes.
    aligned = {
        (index,): [["tt.divisibility", 16]]
        for index, name in enumerate(kernel.arg_names)
        if signature[name] == pointer
    }
    compiled = triton.compile(
        ASTSource(kernel, signature, constants, aligned),
        target=GPUTarget("cuda", capability, 32),
        options={name: options[name] for name in ("num_warps", "num_stages")},
    )
    registers, stack = _read(compiled.asm["cubin"])
    return Resources(
        f"{cell}_{direction}",
        size,
        precision,
        not options["TILE"],
        registers,
        stack,
        compiled.metadata.shared,
    )


def _read(binary: bytes) -> tuple[int, int]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(binary)
        output = subprocess.run(
            [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", path],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", output)
    assert found, output
    return int(found[1]), int(found[2])


def main(arguments: Arguments) -> None:
    """Print every kernel in every precision, as a table or as JSON."""
    found = [
        resources(cell, direction, size, precision, arguments.capability)
        for size in arguments.hidden_sizes
        for cell in arguments.cells
        for direction in ("forward", "backward")
        for precision in PRECISIONS
    ]
    if arguments.json:
        print(json.dumps([vars(each) for each in found]))
    else:
        Console(width=100).print(table_of(found))
    if problems := [problem for each in found if (problem := each.problem())]:
        print("\n".join(problems), file=sys.stderr)
        raise SystemExit(1)


def table_of(found: list[Resources]) -> Table:
    """A table with a line for each kernel."""
    table = Table("kernel", "units", "precision", "W_hh", "registers", "stack", "shared memory")
    for each in found:
        where = "on chip" if each.on_chip else "in tiles"
        counts = map(str, (each.registers, each.stack, each.shared_memory))
        table.add_row(each.kernel, str(each.hidden_size), each.precision, where, *counts)
    return table


if __name__ == "__main__":
    with clean_exit("kernel_resources"):
        main(parse_arguments(Arguments, "python -m benchmarks.kernel_resources"))
