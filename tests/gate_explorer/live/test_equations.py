"""Engine.explain: the text of an equation, evaluated with its values, gives the engine's value."""

import json
import math
import re
from typing import Any

import pytest
import torch

from tests.gate_explorer.live.engines import Job, digits, random_classifier
from tests.gate_explorer.live.test_interventions import GATES, STATES, in_node, mistakes_of

UNIT, STEP = 3, 4
HELD = {
    "held at 0.25 by an intervention": {"type": "gate", "value": 0.25},
    "set to 0 by an intervention": {"type": "zero"},
    "frozen by an intervention": {"type": "freeze", "from": 2},
}
FUNCTIONS = {
    "σ": lambda a: 1 / (1 + math.exp(-a)),
    "tanh": math.tanh,
    "relu": lambda a: max(a, 0.0),
    "identity": lambda a: a,
    "hardtanh": lambda a: max(-1.0, min(1.0, a)),
    "softsign": lambda a: a / (1 + abs(a)),
    "leaky_relu": lambda a: a if a > 0 else 0.01 * a,
    "elu": lambda a: a if a > 0 else math.expm1(a),
    "gelu": lambda a: a * (1 + math.erf(a / math.sqrt(2))) / 2,
    "silu": lambda a: a / (1 + math.exp(-a)),
    "sin": math.sin,
}


def evaluated(text: str, values: dict[str, float]) -> float:
    """The value of the right side of an equation, with a value for each symbol in it."""
    names = {}
    for number, symbol in enumerate(sorted(values, key=len, reverse=True)):
        names[f"v{number}"] = values[symbol]
        text = re.sub(rf"(?<![\w']){re.escape(symbol)}(?![\w'])", f"v{number}", text)
    return float(eval(text.replace("⊙", "*"), {"__builtins__": {}}, FUNCTIONS | names))


def explanations(kind: str, interventions: Any, **options: Any) -> dict[str, Any]:
    """What the engine explains of each gate and state of one unit at one step."""
    model = random_classifier(kind, 2, **options)
    with torch.no_grad():
        for weight in model.layer.parameters():
            weight.mul_(3)  # values that are far from 0
    job = Job(kind, kind, model, digits()[:1], interventions=tuple(interventions)).as_json()
    place = {"layer": 0, "direction": 0, "step": STEP, "unit": UNIT}
    names = [*GATES[kind], *STATES[kind]]
    return in_node(  # type: ignore[no-any-return]
        f"(({{spec, images, interventions}}) => {{"
        f"const result = Engine.run(Engine.load(spec), images[0], {{interventions}});"
        f"return Object.fromEntries({json.dumps(names)}.map(name => [name,"
        f"Engine.explain(result, {{...{json.dumps(place)}, name}})]));"
        f"}})({json.dumps(job)})"
    )


@pytest.mark.parametrize("kind", GATES)
def test_an_equation_with_its_values_gives_the_engines_value(kind: str) -> None:
    variants: list[Any] = [(), *mistakes_of(kind)]
    hard = [each for each in variants if each and each[0]["id"] == "hard-sigmoid"]
    for interventions in variants:
        for name, found in explanations(kind, interventions).items():
            symbol, _, text = found["equation"].partition(" = ")
            values = {term["symbol"]: term["value"] for term in found["terms"]}
            if interventions in hard:
                FUNCTIONS["hardsigmoid"] = hard_sigmoid(interventions[0]["variant"])
            assert evaluated(text, values) == pytest.approx(found["computed"], abs=1e-5), name
            assert found["value"] == pytest.approx(found["computed"], abs=1e-6)
            assert (found["symbol"], found["note"]) == (symbol, "")
            left, _, right = found["substituted"].replace("−", "-").partition(" = ")
            assert float(left) == pytest.approx(found["computed"], rel=0.01, abs=1e-3)
            assert not re.search(r"[W_b]|[a-z]'", right.replace("leaky_relu", ""))


def hard_sigmoid(variant: int) -> Any:
    slope = (1 / 6, 0.2)[variant]
    return lambda a: max(0.0, min(1.0, slope * a + 0.5))


@pytest.mark.parametrize("note", HELD)
def test_an_overwritten_value_has_a_note(note: str) -> None:
    name = "forget" if "value" in HELD[note] else "cell"
    held = {**HELD[note], "gate" if name == "forget" else "state": name, "unit": UNIT}
    found = explanations("lstm", [held])[name]
    assert found["note"].startswith(note)
    assert found["value"] != found["computed"]
    assert "held" not in explanations("lstm", [held | {"unit": UNIT - 1}])[name]["note"]


def test_a_projection_has_no_substituted_sum() -> None:
    found = explanations("lstm", [], proj_size=4)["hidden"]
    assert found["equation"] == "h' = W_hr (o ⊙ tanh(c'))"
    assert found["terms"] == []
