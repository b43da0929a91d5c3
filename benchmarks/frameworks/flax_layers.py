"""Flax's ``nnx.RNN``, compiled by ``jax.jit``."""

from itertools import pairwise
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.frameworks.job import Array, Contender, Job, transposed

CELLS = {"LSTM": nnx.OptimizedLSTMCell, "GRU": nnx.GRUCell}
"""The cells with one product for all gates, in torch.nn's order."""


class Stack(nnx.Module):
    """Layers of ``nnx.RNN``, each of which reads the outputs of the one before."""

    def __init__(self, job: Job) -> None:
        sizes = [job.x.shape[-1], *[job.hidden_size] * job.num_layers]
        cells = [CELLS[job.kind](i, h, rngs=nnx.Rngs(0)) for i, h in pairwise(sizes)]
        self.layers = nnx.List(
            [nnx.RNN(cell, time_major=True, return_carry=True, rngs=False) for cell in cells]
        )

    def __call__(self, x: Any, carries: Any) -> tuple[Any, list[Any]]:
        final = []
        for layer, carry in zip(self.layers, carries, strict=True):
            carry, x = layer(x, initial_carry=carry)
            final.append(carry)
        return x, final


class FlaxContender(Contender):
    """A stack of ``nnx.RNN``. Weights: torch.nn's, with b_hh = 0, which Flax's GRU does not have.

    ``jax.jit`` compiles a function of the parameters; ``nnx.jit`` would take longer to call.
    """

    def __init__(self, job: Job) -> None:
        self.kind, self.num_layers = job.kind, job.num_layers
        graph, params = nnx.split(Stack(job))
        self.params = jax.tree.map(jnp.asarray, _filled(params, job))
        self.x = jnp.asarray(job.x)
        # Flax's LSTM has the order c, h.
        self.carries = [
            tuple(jnp.asarray(part[n]) for part in reversed(job.state))
            if job.kind == "LSTM"
            else jnp.asarray(job.state[0][n])
            for n in range(job.num_layers)
        ]

        def forward(params: Any, x: Any, carries: Any) -> Any:
            return nnx.merge(graph, params)(x, carries)

        def loss(params: Any, x: Any, carries: Any) -> Any:
            return jnp.square(forward(params, x, carries)[0]).mean()

        self.forward, self.gradient = jax.jit(forward), jax.jit(jax.grad(loss))

    def inference(self) -> Any:
        return jax.block_until_ready(self.forward(self.params, self.x, self.carries))

    def train(self) -> Any:
        return jax.block_until_ready(self.gradient(self.params, self.x, self.carries))

    def arrays(self, phase: str, result: Any) -> dict[str, Array]:
        if phase == "train":
            return _gradients(result, self.kind, self.num_layers)
        outputs, final = result
        found = {"output": np.asarray(outputs)}
        if self.kind == "GRU":
            return found | {"h_n": np.stack(final)}
        return found | {
            name: np.stack([carry[place] for carry in final])
            for name, place in (("h_n", 1), ("c_n", 0))
        }


def _bias_of(kind: str) -> str:
    """The Dense layer that has the bias."""
    return "dense_h" if kind == "LSTM" else "dense_i"


def _filled(params: Any, job: Job) -> Any:
    """The parameters with the weights of the job."""
    for n in range(job.num_layers):
        cell = params["layers"][n]["cell"]
        for dense, name in (("dense_i", "ih"), ("dense_h", "hh")):
            cell[dense]["kernel"][...] = transposed(job.weights[f"weight_{name}_l{n}"])
        cell[_bias_of(job.kind)]["bias"][...] = job.weights[f"bias_ih_l{n}"]
    return params


def _gradients(result: Any, kind: str, num_layers: int) -> dict[str, Array]:
    """Gradients by torch.nn's names, without bias_hh."""
    found = {}
    for n in range(num_layers):
        cell = result["layers"][n]["cell"]
        for dense, name in (("dense_i", "ih"), ("dense_h", "hh")):
            found[f"weight_{name}_l{n}"] = transposed(cell[dense]["kernel"][...])
        found[f"bias_ih_l{n}"] = np.asarray(cell[_bias_of(kind)]["bias"][...])
    return found


CONTENDER = FlaxContender
VERSION = f"flax {flax.__version__}, jax {jax.__version__}"
