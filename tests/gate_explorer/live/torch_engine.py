"""What engine.js computes, in torch: a literal transcription of the equations, in float64.

Interventions overwrite a value where the equations define it. Mistakes are those of the verifier's
catalogue. Gradients are autograd's. ``test_engine.py`` shows that without interventions this equals
torch.nn and ``scratch_cells.trace``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cell_verifier.mistakes import CATALOGUE
from cell_verifier.reference.equations import Weights, step_of
from cell_verifier.reference.kinds import KINDS
from shared_interface import SequenceClassifier

Intervention = Mapping[str, Any]
Values = dict[str, Tensor]
"""Name -> (B, ...). The order is that of run_engine.js."""


def run(
    model: SequenceClassifier,
    kind: str,
    x: Tensor,
    interventions: Sequence[Intervention] = (),
) -> Values:
    """Everything that the engine returns for each sequence.

    Args:
        model: a classifier on a layer of torch.nn, in float64.
        kind: ``rnn``, ``gru`` or ``lstm``.
        x: (B, T, input_size) float64.
        interventions: as in engine.js.
    """
    x = x.clone().requires_grad_()
    layer = model.layer
    assert isinstance(layer, nn.RNNBase)
    directions = 2 if layer.bidirectional else 1
    cells: list[dict[str, list[Tensor]]] = []
    inputs = x
    for index in range(layer.num_layers):
        outputs = []
        for direction in range(directions):
            here = [i for i in interventions if _is_here(i, index, direction)]
            cell = _run_cell(layer, kind, inputs, index, direction, here)
            outputs.append(torch.stack(cell["hidden"], dim=1))
            cells.append(cell)
        inputs = torch.cat(outputs, dim=-1)
    last = [cell["hidden"][0 if n else -1] for n, cell in enumerate(cells[-directions:])]
    logits = model.readout(torch.cat(last, dim=-1))
    winning = logits.gather(1, logits.argmax(dim=1, keepdim=True)).sum()
    kept = [name for name in cells[0] if not name.startswith("a ")]
    nodes = [x, *(node for cell in cells for name in kept for node in cell[name])]
    gradients = iter(torch.autograd.grad(winning, nodes, materialize_grads=True))
    values = {"logits": logits, "gradient of x": next(gradients)}
    for number, cell in enumerate(cells):
        values |= {f"{number} {name}": torch.stack(steps, 1) for name, steps in cell.items()}
        for name in kept:
            steps = [next(gradients) for _ in cell[name]]
            values[f"{number} gradient of {name}"] = torch.stack(steps, 1)
    return {name: value.detach() for name, value in values.items()}


def with_probabilities(
    values: Values,
    model: SequenceClassifier,
    kind: str,
    x: Tensor,
    interventions: Sequence[Intervention],
) -> Values:
    """The values and the class probabilities if the sequence ended after each step."""
    after = [
        run(model, kind, x[:, : t + 1], interventions)["logits"].softmax(dim=1)
        for t in range(x.shape[1])
    ]
    return values | {"probabilities": torch.stack(after, dim=1)}


def _is_here(intervention: Intervention, layer: int, direction: int) -> bool:
    return intervention.get("layer") in (None, layer) and (
        intervention.get("direction") in (None, direction)
    )


def _run_cell(
    layer: nn.RNNBase,
    kind: str,
    inputs: Tensor,
    index: int,
    direction: int,
    interventions: Sequence[Intervention],
) -> dict[str, list[Tensor]]:
    """Pre-activations ("a forget"), gates and states of one cell, a list over the steps each."""
    gates = KINDS[kind].gates
    names = [*(f"a {gate}" for gate in gates), *gates, "hidden", *(["cell"] * (kind == "lstm"))]
    recorded: dict[str, list[Any]] = {name: [None] * inputs.shape[1] for name in names}
    batch, time = inputs.shape[:2]
    zeros = {
        "hidden": inputs.new_zeros(batch, layer.proj_size or layer.hidden_size),
        "cell": inputs.new_zeros(batch, layer.hidden_size),
    }
    before = zeros
    for t in range(time - 1, -1, -1) if direction else range(time):
        if any(i["type"] == "cut" and i["step"] == t for i in interventions):
            before = zeros
        acting = [i for i in interventions if i.get("from", 0) <= t <= i.get("to", time)]

        def keep(name: str, value: Tensor, before: Any = before, acting: Any = acting) -> Tensor:
            return _overwritten(name, value, before, acting)

        step = _step(layer, kind, index, direction, inputs[:, t], before, acting, keep)
        for name, value in step.items():
            recorded[name][t] = value
        before = step
    return recorded


def _overwritten(
    name: str, value: Tensor, before: Values, acting: Sequence[Intervention]
) -> Tensor:
    for each in acting:
        if name != each.get("gate", each.get("state")):
            continue
        unit = each.get("unit")
        mask = torch.ones(value.shape[1], dtype=torch.bool)
        if unit is not None:
            mask = torch.arange(value.shape[1]) == unit
        if each["type"] == "freeze":
            value = torch.where(mask, before[name], value)
        else:
            value = torch.where(mask, float(each.get("value", 0)), value)
    return value


def _step(
    layer: nn.RNNBase,
    kind: str,
    index: int,
    direction: int,
    x: Tensor,
    before: Values,
    acting: Sequence[Intervention],
    keep: Callable[[str, Tensor], Tensor],
) -> Values:
    suffix = f"_l{index}" + ("_reverse" if direction else "")
    gates = len(KINDS[kind].gates)
    w_ih, w_hh = getattr(layer, f"weight_ih{suffix}"), getattr(layer, f"weight_hh{suffix}")
    no_bias = w_ih.new_zeros(len(w_ih))
    b_ih, b_hh = (getattr(layer, f"bias_{part}{suffix}", no_bias) for part in ("ih", "hh"))
    if any(i["type"] == "no_recurrence" for i in acting):
        w_hh = torch.zeros_like(w_hh)
    stages: dict[str, Callable[..., Any]] = {}
    for each in acting:
        if each["type"] == "mistake":
            changes = list(CATALOGUE[each["id"]].changes(kind))
            stages |= changes[each.get("variant", 0)].stages
    if kind == "rnn" and layer.nonlinearity == "relu":
        stages = {"activation": torch.relu} | stages
    f = step_of(KINDS[kind], stages)
    h = before["hidden"]
    from_x, from_h = (x @ w_ih.T + b_ih).chunk(gates, 1), (h @ w_hh.T + b_hh).chunk(gates, 1)
    a = [ours + theirs for ours, theirs in zip(from_x, from_h, strict=True)]
    if kind == "rnn":
        n = keep("candidate", f.activation(a[0]))
        return {"a candidate": a[0], "candidate": n, "hidden": keep("hidden", n * 1)}
    if kind == "gru":
        r, z = keep("reset", f.sigmoid(a[0])), keep("update", f.sigmoid(a[1]))
        w = Weights(
            w_ih.unflatten(0, (gates, -1)), w_hh.unflatten(0, (gates, -1)),
            b_ih.unflatten(0, (gates, -1)), b_hh.unflatten(0, (gates, -1)), w_hh.new_zeros(1),
        )  # fmt: skip
        a_n = f.reset(w, from_x[2], r, h)
        n = keep("candidate", f.activation(a_n))
        hidden = keep("hidden", f.update(z, n, h))
        named = {"a reset": a[0], "a update": a[1], "a candidate": a_n}
        return named | {"reset": r, "update": z, "candidate": n, "hidden": hidden}
    i, forget = keep("input", f.sigmoid(a[0])), keep("forget", f.sigmoid(a[1]))
    g, o = keep("candidate", f.activation(a[2])), keep("output", f.sigmoid(a[3]))
    c = keep("cell", f.cell(i, forget, g, before["cell"]))
    h = f.hidden(o, c, before["cell"])
    if layer.proj_size:
        h = h @ getattr(layer, f"weight_hr{suffix}").T
    named = {f"a {gate}": value for gate, value in zip(KINDS[kind].gates, a, strict=True)}
    activated = {"input": i, "forget": forget, "candidate": g, "output": o}
    return named | activated | {"hidden": keep("hidden", h), "cell": c}
