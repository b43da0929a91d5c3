"""How long does torch.compile take, for each length? ``python -m benchmarks.compile_time``

Compiles one training step of a small LSTM with torch's default compiler, in a process of its own
for each length and implementation, and draws docs/figures/compile_time.png with ``--draw``.

- operator: the hand-written layer, which gives the compiler one operator
- loop: the same with ``backend="plain"``, of which the compiler records every time step
- torch.nn: the built-in layer
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.end_to_end import ROOT
from command_line.program import clean_exit, parse_arguments

FIGURE = ROOT / "docs/figures/compile_time.png"
LONGEST_LOOP = 32
"""Time steps. Longer loops take minutes to compile."""

PROGRAM = """
import sys, time, torch
from torch import nn
import scratch_cells
name, steps = sys.argv[1], int(sys.argv[2])
torch.manual_seed(0)
if name == "torch.nn":
    layer = nn.LSTM(28, 64, batch_first=True)  # the compiler leaves it out: a graph break
else:
    backend = "plain" if name == "loop" else "auto"
    layer = scratch_cells.LSTM(28, 64, batch_first=True, backend=backend)
head = nn.Linear(64, 10)
whole = name != "torch.nn"
plain = lambda x: head(layer(x)[0][:, -1]).square().mean()
step = torch.compile(plain, fullgraph=whole)
warm = torch.compile(lambda x: (x * 2).sum())
warm(torch.randn(3, requires_grad=True)).backward()  # the compiler's own start is not measured
x = torch.randn(8, steps, 28)
start = time.perf_counter()
step(x).backward()
print(time.perf_counter() - start)
ratios = []
for _ in range(20):
    seconds = []
    for function in (step, plain):
        start = time.perf_counter()
        function(x).backward()
        seconds.append(time.perf_counter() - start)
    ratios.append(seconds[0] / seconds[1])
print(sorted(ratios)[10])
"""


@dataclass(frozen=True)
class Options:
    """Measure how long torch.compile takes for one training step of an LSTM."""

    steps: tuple[int, ...] = (4, 8, 16, 32, 128, 512)
    """lengths of the sequences"""
    draw: bool = False
    """write the figure of the documentation"""


def measure(name: str, steps: int) -> tuple[float, float]:
    """Compile in a new process with an empty cache.

    Returns:
        The seconds until the first step is done, and the time of a compiled step over that of the
        same step without compilation, the median of 20.
    """
    command = [sys.executable, "-c", PROGRAM, name, str(steps)]
    environment = {"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    compiled, ratio = map(float, done.stdout.split())
    return compiled, ratio


def draw(results: dict[str, dict[int, float]], path: Path) -> None:
    """Draw compile time over length, both axes logarithmic."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, times in results.items():
        axes.plot(list(times), list(times.values()), marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="time steps", ylabel="seconds to compile a step")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def main(options: Options) -> None:
    """Measure, print one line for each length, and draw."""
    results: dict[str, dict[int, float]] = {"operator": {}, "loop": {}, "torch.nn": {}}
    for steps in options.steps:
        for name, times in results.items():
            if name != "loop" or steps <= LONGEST_LOOP:
                times[steps], ratio = measure(name, steps)
                line = f"{name:9} T {steps:4}  {times[steps]:7.1f} s, a step {ratio:.2f} of eager"
                print(line, flush=True)
    if options.draw:
        draw(results, FIGURE)


if __name__ == "__main__":
    program = "python -m benchmarks.compile_time"
    with clean_exit(program):
        main(parse_arguments(Options, program))
