"""What each of the Triton kernels takes of a GPU, which need not be there.

    python -m benchmarks.kernel_resources                 for an H100, 128 hidden units
    python -m benchmarks.kernel_resources --capability 80 --hidden-size 64

Compiles every kernel for that GPU and reads the result: registers of a thread, bytes that did not
fit in them (the stack), shared memory of a program. A kernel that does not compile ends it.
"""

import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

os.environ["TRITON_INTERPRET"] = "0"  # before the kernels are imported: here they are compiled

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from command_line.program import clean_exit, parse_arguments
from scratch_cells.backends import triton_kernels
from scratch_cells.backends.triton_backend import (
    TritonGRUKernel,
    TritonLSTMKernel,
    TritonRNNTanhKernel,
)

KERNELS = {"rnn": TritonRNNTanhKernel, "gru": TritonGRUKernel, "lstm": TritonLSTMKernel}
NUMBERS = {"float32": "ieee", "tf32": "tf32", "bfloat16": "ieee"}


@dataclass(frozen=True)
class Arguments:
    """Compile the kernels for a GPU and report what they take of it."""

    hidden_size: int = 128
    """units of the layer"""
    capability: int = 90
    """the GPU's compute capability: 80 an A100, 90 an H100"""
    json: bool = False
    """print JSON"""


@dataclass(frozen=True)
class Resources:
    """Of one kernel: registers a thread, bytes of stack a thread, bytes of shared memory."""

    kernel: str
    numbers: str
    on_chip: bool
    registers: int
    stack: int
    shared_memory: int


def resources(cell: str, way: str, numbers: str, arguments: Arguments) -> Resources:
    """Compile one kernel and look."""
    torch.backends.cuda.matmul.fp32_precision = NUMBERS[numbers]
    dtype = torch.bfloat16 if numbers == "bfloat16" else torch.float32
    kernel_class = KERNELS[cell]
    size = arguments.hidden_size
    rows = kernel_class.layout.gate_count * size
    blank = torch.zeros(rows, dtype=dtype)
    weights = torch.zeros(rows, size, dtype=dtype)
    options = kernel_class(weights, weights, blank, blank, time=1).options()
    kernel = getattr(triton_kernels, f"{cell}_{way}")
    flags = {"H": size, "RELU": False, "SAVE": True, "REVERSE": False}
    constants = {k: v for k, v in (flags | options).items() if k in kernel.arg_names}
    pointer = "*bf16" if dtype == torch.bfloat16 else "*fp32"
    signature = {
        name: "constexpr"
        if name in constants
        else "i32"
        if name in ("T", "B", "c_step_stride")
        else pointer
        for name in kernel.arg_names
    }
    # as at a launch: what torch allocates begins at a multiple of 16, and a step of c ends at one
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(kernel.arg_names)
        if signature[name] == pointer or name == "c_step_stride"
    }
    compiled = triton.compile(
        ASTSource(kernel, signature, constants, aligned),
        target=GPUTarget("cuda", arguments.capability, 32),
        options={name: options[name] for name in ("num_warps", "num_stages")},
    )
    registers, stack = _read(compiled.asm["cubin"])
    return Resources(
        f"{cell}_{way}",
        numbers,
        not options["TILE"],
        registers,
        stack,
        compiled.metadata.shared,
    )


def _read(binary: bytes) -> tuple[int, int]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(binary)
        said = subprocess.run(
            [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", path],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", said)
    assert found, said
    return int(found[1]), int(found[2])


def main(arguments: Arguments) -> None:
    """Every kernel with every kind of numbers, as a table or as JSON."""
    found = [
        resources(cell, way, numbers, arguments)
        for cell in KERNELS
        for way in ("forward", "backward")
        for numbers in NUMBERS
    ]
    if arguments.json:
        print(json.dumps([vars(each) for each in found]))
        return
    table = Table("kernel", "numbers", "W_hh", "registers", "stack", "shared memory")
    for each in found:
        where = "on chip" if each.on_chip else "in tiles"
        numbers = map(str, (each.registers, each.stack, each.shared_memory))
        table.add_row(each.kernel, each.numbers, where, *numbers)
    Console().print(table)


if __name__ == "__main__":
    with clean_exit("kernel_resources"):
        main(parse_arguments(Arguments, "python -m benchmarks.kernel_resources"))
