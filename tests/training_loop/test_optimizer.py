"""training_loop/optimizer.py: equal to torch's Adam, and no compiler is imported by a run."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from tests.helpers.paths import ROOT
from tests.helpers.runs import ENVIRONMENT, TRAIN
from training_loop.optimizer import EagerAdam

SHAPES = [(7, 5), (7,), ()]


def start(kind: type[Adam]) -> tuple[list[nn.Parameter], Adam]:
    generator = torch.Generator().manual_seed(0)
    weights = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    return weights, kind(weights, lr=0.1, betas=(0.8, 0.9), fused=True)


def take_steps(weights: list[nn.Parameter], optimizer: Optimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(3):
        optimizer.zero_grad()
        loss = sum((w * torch.randn(w.shape, generator=generator)).sum() for w in weights[:2])
        assert isinstance(loss, Tensor)
        loss.backward()  # the third weight has no gradient
        optimizer.step()


@pytest.mark.parametrize("continued", [Adam, EagerAdam])
def test_steps_and_state_are_those_of_adam(continued: type[Adam]) -> None:
    """Bit for bit, also after the state of one has been loaded into the other."""
    ours, optimizer = start(EagerAdam)
    theirs, reference = start(Adam)
    take_steps(ours, optimizer, seed=1)
    take_steps(theirs, reference, seed=1)
    resumed, other = start(continued)
    for new, old in zip(resumed, ours, strict=True):
        new.data.copy_(old)
    other.load_state_dict(optimizer.state_dict())
    take_steps(resumed, other, seed=2)
    take_steps(theirs, reference, seed=2)
    assert all(map(torch.equal, resumed, theirs))
    assert other.state_dict()["param_groups"] == reference.state_dict()["param_groups"]


def test_a_step_runs_the_hooks_and_a_closure_with_gradients() -> None:
    weights, optimizer = start(EagerAdam)
    calls = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))

    def closure() -> float:
        assert torch.is_grad_enabled()
        loss = (weights[0] ** 2).sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == pytest.approx((start(Adam)[0][0] ** 2).sum().item())
    assert calls == ["before", "after"]
    assert not any(weight.grad_fn for weight in weights)


def test_a_run_imports_neither_the_compiler_nor_sharded_tensors(tmp_path: Path) -> None:
    """Each takes longer to import than a hundred steps."""
    program = f"""
import runpy, sys
sys.argv = ["train.py", "--dataset", "digits", "--epochs", "1", "--hidden-size", "8"]
runpy.run_path({str(TRAIN)!r}, run_name="__main__")
print([name for name in ("torch._dynamo", "torch.distributed.tensor", "sympy", "torchvision")
       if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=ENVIRONMENT | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr
