"""How long does torch.compile take, for each length? ``python -m benchmarks.compile_time``

Compiles one call of a small model with torch's default compiler, in a process of its own for each
length and implementation, and draws docs/figures/compile_time.png with ``--draw``.

- operator: the hand-written layer, which gives the compiler one operator
- loop: the same with ``backend="plain"``, of which the compiler records every time step
- torch.nn: the built-in layer, compiled with ``torch._dynamo.config.allow_rnn``
- torch.nn left out: the built-in layer without that option; the compiler does not compile it
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
CASES = (("GRU", "training"), ("LSTM", "inference"))
"""One panel of the figure each. torch 2.14 cannot compile a training step of torch.nn.LSTM."""

LONGEST_LOOP = 16
"""Time steps. Where every step is recorded, longer sequences take minutes to compile."""

RECORDED_STEP_BY_STEP = {("loop", "training"), ("loop", "inference"), ("torch.nn", "training")}

PROGRAM = """
import sys, time, torch
from torch import nn
import scratch_cells
name, kind, phase, steps = *sys.argv[1:4], int(sys.argv[4])
torch.manual_seed(0)
torch._dynamo.config.allow_rnn = name == "torch.nn"
if name.startswith("torch.nn"):
    layer = getattr(nn, kind)(28, 128, batch_first=True)
else:
    backend = "plain" if name == "loop" else "auto"
    layer = getattr(scratch_cells, kind)(28, 128, batch_first=True, backend=backend)
head = nn.Linear(128, 10)
plain = lambda x: head(layer(x)[0][:, -1]).square().mean()
compiled = torch.compile(plain, fullgraph=name != "torch.nn left out")

def call(function):
    start = time.perf_counter()
    if phase == "training":
        function(x).backward()
    else:
        with torch.no_grad():
            function(x)
    return time.perf_counter() - start

warm = torch.compile(lambda x: (x * 2).sum())
warm(torch.randn(3, requires_grad=True)).backward()  # the compiler's own start is not measured
x = torch.randn(100, steps, 28)
print(call(compiled))
ratios = [call(compiled) / call(plain) for _ in range(41)]
print(sorted(ratios)[20])
"""


@dataclass(frozen=True)
class Options:
    """Measure how long torch.compile takes for a GRU in training and for an LSTM in inference."""

    steps: tuple[int, ...] = (4, 8, 16, 32, 128, 512)
    """lengths of the sequences"""
    draw: bool = False
    """write the figure of the documentation"""


def measure(name: str, kind: str, phase: str, steps: int) -> tuple[float, float]:
    """Compile in a new process with an empty cache.

    Returns:
        The seconds until the first call is done, and the time of a compiled call over that of the
        same call without compilation, the median of 41.
    """
    command = [sys.executable, "-c", PROGRAM, name, kind, phase, str(steps)]
    environment = {"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    compiled, ratio = map(float, done.stdout.split())
    return compiled, ratio


Results = dict[str, dict[int, float]]
"""Implementation -> number of time steps -> seconds."""


def draw(results: dict[str, Results], path: Path) -> None:
    """Draw compile time over length, a panel for each case, both axes logarithmic."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    panels = figure.subplots(1, len(results), sharey=True, squeeze=False)[0]
    for axes, (title, times_of) in zip(panels, results.items(), strict=True):
        for name, times in times_of.items():
            axes.plot(list(times), list(times.values()), marker="o", label=name)
        axes.set(xscale="log", yscale="log", xlabel="time steps", title=title)
    panels[0].set_ylabel("seconds to compile")
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=120)


def main(options: Options) -> None:
    """Measure, print one line for each length, and draw."""
    results: dict[str, Results] = {}
    for kind, phase in CASES:
        title = f"{kind}, {phase}"
        results[title] = {"operator": {}, "loop": {}, "torch.nn": {}, "torch.nn left out": {}}
        for steps in options.steps:
            for name, times in results[title].items():
                if (name, phase) in RECORDED_STEP_BY_STEP and steps > LONGEST_LOOP:
                    continue
                times[steps], ratio = measure(name, kind, phase, steps)
                print(
                    f"{title:16} {name:17} T {steps:4}  {times[steps]:6.1f} s, "
                    f"a call {ratio:.2f} of eager",
                    flush=True,
                )
    if options.draw:
        draw(results, FIGURE)


if __name__ == "__main__":
    program = "python -m benchmarks.compile_time"
    with clean_exit(program):
        main(parse_arguments(Options, program))
