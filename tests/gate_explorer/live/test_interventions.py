"""Interventions: the engine against the same interventions in torch, and the catalogue."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from cell_verifier.mistakes import CATALOGUE
from cell_verifier.mistakes.step import MISTAKES
from gate_explorer.live.page import NOT_IN_THE_ENGINE, mistake_texts
from scratch_cells import layer_of
from scratch_cells.gru import GRUCell
from scratch_cells.lstm import LSTMCell
from sequenced_mnist import to_sequences
from tests.gate_explorer.live.engines import (
    ENGINE,
    Job,
    differences,
    digits,
    node,
    random_classifier,
    run_in_browser,
    run_in_node,
)
from tests.gate_explorer.live.torch_engine import Intervention

GATES = {
    "rnn": ("candidate",),
    "gru": ("reset", "update", "candidate"),
    "lstm": ("input", "forget", "candidate", "output"),
}
STATES = {"rnn": ("hidden",), "gru": ("hidden",), "lstm": ("hidden", "cell")}
TWO_BY_TWO = {"num_layers": 2, "bidirectional": True}


def interventions_of(kind: str) -> list[tuple[Intervention, ...]]:
    """Every type on every gate and state, on all units and on one, in all places and in one."""
    found: list[tuple[Intervention, ...]] = [
        ({"type": "no_recurrence"},),
        ({"type": "no_recurrence", "layer": 1, "direction": 1, "from": 2, "to": 4},),
        ({"type": "cut", "step": 3},),
        ({"type": "cut", "step": 0}, {"type": "cut", "step": 7}),
        ({"type": "cut", "step": 5, "layer": 0},),
    ]
    for gate in GATES[kind]:
        found += [
            ({"type": "gate", "gate": gate, "value": value, "unit": unit} | place,)
            for value, unit, place in (
                (0, None, {}),
                (1, None, {"layer": 0}),
                (0.5, 2, {"direction": 1}),
                (-2, 0, {"from": 3, "to": 5}),
            )
        ]
    for state in STATES[kind]:
        found += [
            ({"type": "zero", "state": state, "unit": 1},),
            ({"type": "freeze", "state": state, "unit": 2, "from": 3},),
            ({"type": "freeze", "state": state, "from": 2, "to": 4, "layer": 0},),
            ({"type": "freeze", "state": state, "from": 4}, {"type": "cut", "step": 4}),
        ]
    last = GATES[kind][-1]
    together = (
        {"type": "gate", "gate": last, "value": 1, "unit": 3},
        {"type": "freeze", "state": "hidden", "unit": 3, "from": 2},
        {"type": "zero", "state": "hidden", "unit": 3, "from": 6},
        {"type": "no_recurrence", "layer": 0},
    )
    return [*found, together]


def mistakes_of(kind: str) -> list[tuple[Intervention, ...]]:
    return [
        ({"type": "mistake", "id": each.id, "variant": variant},)
        for each in MISTAKES
        if kind in each.kinds and each.id not in NOT_IN_THE_ENGINE
        for variant, _ in enumerate(each.changes(kind))
    ]


def jobs() -> list[Job]:
    found = []
    images = digits()
    for seed, kind in enumerate(GATES):
        model = random_classifier(kind, seed, **TWO_BY_TWO)
        for number, interventions in enumerate([*interventions_of(kind), *mistakes_of(kind)]):
            name = f"{kind} {json.dumps(interventions)}"
            read = images[3 * number :][:3]
            found.append(Job(name, kind, model, read, interventions=interventions))
    gru, lstm = random_classifier("gru", 1), random_classifier("lstm", 1, proj_size=3)
    held = {"type": "gate", "gate": "reset", "value": 0.3, "unit": None}
    for other in (held, {"type": "no_recurrence"}, {"type": "cut", "step": 2}):
        wrong = {"type": "mistake", "id": "reset-before-matmul"}
        found.append(
            Job(f"gru, both, {other}", "gru", gru, images[:3], interventions=(wrong, other))
        )
    for wrong in mistakes_of("lstm"):
        found.append(Job(f"projected, {wrong}", "lstm", lstm, images[:3], interventions=wrong))
    return found


def test_node_intervenes_as_torch_does(tmp_path: Path) -> None:
    assert len(jobs()) > 100
    assert differences(jobs(), run_in_node(jobs(), tmp_path)) == []


@pytest.mark.browser
def test_chromium_intervenes_as_torch_does(tab: Any) -> None:
    assert differences(jobs(), run_in_browser(jobs(), tab)) == []


def test_every_intervention_changes_the_result() -> None:
    """An intervention that both sides ignored would be equal too."""
    for job in jobs():
        if job.interventions[0].get("id") == "wrong-nonlinearity":
            continue  # GELU and SiLU, for example, are compared as all others
        untouched = Job(job.name, job.kind, job.model, job.images).expected()
        changed = any(
            float((part - untouched[name]).abs().max()) > 1e-4
            for name, part in job.expected().items()
        )
        assert changed or job.interventions == ({"type": "cut", "step": 0},), job.name


class HeldLSTMCell(LSTMCell):
    """A forget gate that is always shut."""

    def gates(self, projected: torch.Tensor, state: Any) -> LSTMCell.Gates:
        gates = super().gates(projected, state)
        return gates._replace(forget=torch.zeros_like(gates.forget))


class HeldGRUCell(GRUCell):
    """An update gate that is always open: the unit keeps h."""

    def gates(self, projected: torch.Tensor, h: torch.Tensor) -> GRUCell.Gates:
        gates = super().gates(projected, h)
        return gates._replace(update=torch.ones_like(gates.update))


@pytest.mark.parametrize(
    ("kind", "cell", "gate", "value"),
    [("lstm", HeldLSTMCell, "forget", 0), ("gru", HeldGRUCell, "update", 1)],
)
def test_a_held_gate_equals_a_cell_whose_gate_is_overwritten(
    kind: str, cell: Any, gate: str, value: int
) -> None:
    model = random_classifier(kind, 4, **TWO_BY_TWO)
    held = ({"type": "gate", "gate": gate, "value": value},)
    job = Job(kind, kind, model, digits()[:20], interventions=held)
    layer = layer_of(cell)(8, 5, batch_first=True, **TWO_BY_TWO).double()
    layer.load_state_dict(model.layer.state_dict())
    with torch.no_grad():
        output, _ = layer(to_sequences(job.images, "rows").double())
    expected = job.expected()
    forward, reverse = expected["2 hidden"], expected["3 hidden"]
    torch.testing.assert_close(torch.cat([forward, reverse], dim=-1), output)


# --- the catalogue ------------------------------------------------------------------------------


def in_node(expression: str) -> Any:
    """The value of a JavaScript expression in which ``Engine`` is the engine."""
    program = f"const Engine = require({json.dumps(str(ENGINE))});"
    program += f"console.log(JSON.stringify({expression}))"
    done = subprocess.run([node(), "-e", program], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_engine_has_the_mistakes_of_the_catalogue() -> None:
    specs = [Job(kind, kind, random_classifier(kind, 0), digits()[:1]).as_json() for kind in GATES]
    found = in_node(
        f"{json.dumps([each['spec'] for each in specs])}.map(s => Engine.load(s).mistakes)"
    )
    for kind, mistakes in zip(GATES, found, strict=True):
        expected = {
            each.id: len(list(each.changes(kind)))
            for each in MISTAKES
            if kind in each.kinds and each.id not in NOT_IN_THE_ENGINE
        }
        assert mistakes == expected
    assert all(each in CATALOGUE for each in NOT_IN_THE_ENGINE)


def test_the_texts_of_the_page_are_those_of_the_catalogue() -> None:
    for text in mistake_texts():
        mistake = CATALOGUE[text["id"]]
        assert text["why"] == mistake.why
        for kind in mistake.kinds:
            assert text["variants"] == [change.detail for change in mistake.changes(kind)]


def test_a_wrong_intervention_gives_one_sentence() -> None:
    wrong = {
        'type is "hold"': {"type": "hold"},
        'gate is "reset": expected one of input, forget': {
            "type": "gate",
            "gate": "reset",
            "value": 0,
        },
        "value is null": {"type": "gate", "gate": "forget", "value": None},
        "unit is 5: expected 0 to 4": {"type": "zero", "state": "cell", "unit": 5},
        "layer is 1: expected 0 to 0": {"type": "no_recurrence", "layer": 1},
        "direction is 1": {"type": "no_recurrence", "direction": 1},
        "step is 8: expected 0 to 7": {"type": "cut", "step": 8},
        "step is -1": {"type": "cut"},
        "from is 2.5": {"type": "freeze", "state": "cell", "from": 2.5},
        'id is "no-reset"': {"type": "mistake", "id": "no-reset"},
        "variant is 1": {"type": "mistake", "id": "missing-output-tanh", "variant": 1},
    }
    spec = Job("lstm", "lstm", random_classifier("lstm", 0), digits()[:1]).as_json()["spec"]
    problems = in_node(
        f"{json.dumps(list(wrong.values()))}"
        f".map(each => Engine.problem(Engine.load({json.dumps(spec)}), each))"
    )
    for message, problem in zip(wrong, problems, strict=True):
        assert problem.startswith(message), problem
