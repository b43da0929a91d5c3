"""Mistakes in the backward pass of a module, where its outputs are explained but not its gradients.

A module has such mistakes if its forward pass uses a ``torch.autograd.Function``.
"""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

from cell_verifier.backward.catalogue import candidates
from cell_verifier.backward.derivation import Environment, ForwardVariant
from cell_verifier.backward.mistake import Candidate
from cell_verifier.backward.passes import Edits, Tensors, Upstream, run_backward, run_forward
from cell_verifier.backward.search import Gradients, search
from cell_verifier.identification.subject import Experiment
from cell_verifier.mistakes.mistake import Change, Mistake, Mistakes, Variant, apply_to_weights

VARIATIONS = ("reset-before-matmul", "swapped-update")
"""Mistakes in the outputs that the derivation contains as variations of the forward pass."""


def uses_autograd_function(outputs: Iterable[Tensor]) -> bool:
    """Whether the graph of these tensors contains a ``torch.autograd.Function``."""
    pending = [output.grad_fn for output in outputs]
    seen = set()
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            return True
        seen.add(node)
        pending += [each for each, _ in node.next_functions]
    return False


def find_backward_mistakes(
    experiment: Experiment, loss_weights: Mapping[str, Tensor], observed: Gradients
) -> Mistakes | None:
    """The mistakes with which the derivation gives the gradients of the user's module.

    Args:
        loss_weights: the gradients with respect to what the module returns, by name.
        observed: the user's gradients: ``input``, ``state 0``, ``state 1`` and the parameters.

    Returns:
        None if there are none, or if the derivation does not contain a mistake in the outputs.
    """
    subject = experiment.subject
    ids = {each.id for each in subject.mistakes if each.change.stages}
    if not ids <= set(VARIATIONS):
        return None
    variant = ForwardVariant(subject.kind.name, VARIATIONS[0] in ids, VARIATIONS[1] in ids)
    simulation = _Simulation(experiment, variant, loss_weights)
    pool = candidates(variant, is_step=subject.is_cell)
    found = search(observed, simulation.gradients, pool, subject.precision.match)
    return None if found is None else tuple(map(as_variant, found))


def as_variant(candidate: Candidate) -> Variant:
    """The mistake as one of the catalogue of ``verify``, for its report."""
    mistake, way = candidate.mistake, candidate.way

    def changes(kind: str) -> Iterator[Change]:
        yield from ()

    return Variant(
        Mistake(
            mistake.id,
            mistake.kinds,
            "gradient",
            mistake.why,
            way.right,
            way.wrong,
            mistake.fix,
            changes,
        ),
        Change(),
    )


class _Simulation:
    """The derivation on the weights and the probe of an experiment."""

    def __init__(
        self, experiment: Experiment, variant: ForwardVariant, loss_weights: Mapping[str, Tensor]
    ) -> None:
        subject, probe = experiment.subject, experiment.probe
        self.variant, self.is_cell = variant, subject.is_cell
        self.parameters = experiment.parameters if subject.loaded is None else {}
        self.weights = apply_to_weights(subject.mistakes, subject.weights(self.parameters))
        state = [part.detach() if subject.is_cell else part.detach()[0] for part in probe.state]
        h, c = (*state, torch.zeros_like(state[0]))[:2]
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        inputs = {"x": probe.x.detach(), "h": h, "c": c}
        inputs |= {n: part.detach() for n, part in zip(names, self.weights, strict=False)}
        self.steps = run_forward(variant, inputs)
        self.upstream = self._upstream(loss_weights, h)

    def _upstream(self, loss_weights: Mapping[str, Tensor], h: Tensor) -> Upstream:
        zero = torch.zeros_like(h)
        zeros = zero.expand(len(self.steps), *h.shape)
        output = loss_weights.get("output", zeros)
        if self.is_cell:  # the state after every step
            after = loss_weights.get("h", zeros)
            return Upstream(output + after, loss_weights.get("c", zeros), zero, zero)
        final = [loss_weights[name][0] if name in loss_weights else zero for name in ("h", "c")]
        return Upstream(output, zeros, *final)

    def gradients(self, edits: Edits) -> Gradients:
        """The gradients with respect to the input, the state and the user's parameters."""
        tensors = (
            self._by_step(edits)
            if self.is_cell
            else self._backward(self.steps, self.upstream, edits)
        )
        state = [tensors[name] for name in ("h", "c") if name in tensors]
        found = {"input": tensors["x"]}
        found |= {f"state {n}": s if self.is_cell else s[None] for n, s in enumerate(state)}
        return found | self._of_parameters(tensors)

    def _by_step(self, edits: Edits) -> Tensors:
        """Of a cell: its own backward pass is one step, and autograd adds over time."""
        total: Tensors = {}
        inputs = []
        dh, dc = self.upstream.final_h, self.upstream.final_c
        for t in reversed(range(len(self.steps))):
            h, c = self.upstream.h[t] + dh, self.upstream.c[t] + dc
            zeros = torch.zeros_like(h)[None]
            step = self._backward([self.steps[t]], Upstream(zeros, zeros, h, c), edits)
            inputs.append(step["x"])
            dh, dc = step["h"], step.get("c", dc)
            total = {n: total[n] + part if n in total else part for n, part in step.items()}
        total |= {"x": torch.cat(inputs[::-1]), "h": dh}
        return total | {"c": dc} if "c" in total else total

    def _backward(self, steps: list[Environment], upstream: Upstream, edits: Edits) -> Tensors:
        return run_backward(self.variant, steps, upstream, edits)

    def _of_parameters(self, tensors: Tensors) -> Gradients:
        """The user's parameters hold torch.nn's weights: pass the gradients on to them."""
        if not self.parameters:
            return {}
        pairs = [
            (getattr(self.weights, name), tensors[full])
            for name, full in FULL_NAMES.items()
            if getattr(self.weights, name).requires_grad
        ]
        gradients = torch.autograd.grad(
            [weight for weight, _ in pairs],
            list(self.parameters.values()),
            [gradient for _, gradient in pairs],
            allow_unused=True,
            retain_graph=True,
        )
        return {
            name: torch.zeros_like(parameter) if gradient is None else gradient
            for (name, parameter), gradient in zip(self.parameters.items(), gradients, strict=True)
        }


FULL_NAMES = {"ih": "weight_ih", "hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}
