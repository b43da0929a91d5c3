// What the interventions do to one cell of a model. engine.js lists the interventions.
"use strict";

const Plans = (() => {
  const { MISTAKES, stagesOf } =
    typeof require === "function" ? require("./mistakes.js") : Mistakes;

  const TYPES = ["gate", "zero", "freeze", "no_recurrence", "cut", "mistake"];
  const missing = (value) => value === null || value === undefined;

  // What is wrong with an intervention on this model, as one sentence; "" if it can be made.
  function problem(model, intervention) {
    const { type, gate, state, value, id, variant = 0, unit, step } = intervention;
    const size = state === "hidden" ? model.state_size : model.hidden_size;
    const place = [
      below("layer", intervention.layer, model.num_layers),
      below("direction", intervention.direction, model.directions),
      below("unit", unit, size),
      below("from", intervention.from, model.steps),
      below("to", intervention.to, model.steps),
    ];
    const own = {
      gate: () => [
        oneOf("gate", gate, model.gates),
        Number.isFinite(value) ? "" : `value is ${JSON.stringify(value)}: expected a number`,
      ],
      zero: () => [oneOf("state", state, model.states)],
      freeze: () => [oneOf("state", state, model.states)],
      no_recurrence: () => [],
      cut: () => [below("step", missing(step) ? -1 : step, model.steps)],
      mistake: () => [
        oneOf("id", id, Object.keys(MISTAKES[model.cell])) ||
          below("variant", variant, MISTAKES[model.cell][id].length),
      ],
    };
    const checks = TYPES.includes(type) ? own[type]() : [oneOf("type", type, TYPES)];
    return [...checks, ...place].find((message) => message) ?? "";
  }

  function oneOf(name, given, allowed) {
    if (allowed.includes(given)) return "";
    return `${name} is ${JSON.stringify(given)}: expected one of ${allowed.join(", ")}`;
  }

  function below(name, given, limit) {
    if (missing(given) || (Number.isInteger(given) && given >= 0 && given < limit)) return "";
    return `${name} is ${JSON.stringify(given)}: expected 0 to ${limit - 1}`;
  }

  // The interventions on one cell of the model, and the functions of its time step.
  //
  // Throws a RangeError for an intervention that cannot be made.
  function plan(model, layer, direction, interventions) {
    for (const each of interventions) {
      const message = problem(model, each);
      if (message) throw new RangeError(`intervention ${JSON.stringify(each)}: ${message}`);
    }
    const here = interventions.filter(
      (each) =>
        (missing(each.layer) || each.layer === layer) &&
        (missing(each.direction) || each.direction === direction),
    );
    const ofType = (...types) => here.filter(({ type }) => types.includes(type));
    const overwriting = ofType("gate", "zero", "freeze");
    return {
      stages: stagesOf(model.cell, model.nonlinearity, ofType("mistake")),
      cuts: (t) => ofType("cut").some(({ step }) => step === t),
      recurrent: (t) => !ofType("no_recurrence").some((each) => covers(each, t)),
      onLine: (name, t) =>
        overwriting.filter((each) => (each.gate ?? each.state) === name && covers(each, t)),
    };
  }

  function covers({ from, to }, t) {
    return (missing(from) || t >= from) && (missing(to) || t <= to);
  }

  // Overwrite the value of a gate or a state, `y`; `before` is the state before the step.
  function apply(interventions, y, before) {
    for (const { type, unit, value } of interventions) {
      for (const k of unitsOf(unit, y)) {
        y[k] = { gate: value, zero: 0, freeze: before?.[k] }[type];
      }
    }
  }

  // The backward pass of `apply`: the value depends on nothing, or on the unit's state before.
  function applyBackward(interventions, d, d_before) {
    for (const { type, unit } of [...interventions].reverse()) {
      for (const k of unitsOf(unit, d)) {
        if (type === "freeze") d_before[k] += d[k];
        d[k] = 0;
      }
    }
  }

  function unitsOf(unit, values) {
    return missing(unit) ? values.keys() : [unit];
  }

  return { problem, plan, apply, applyBackward };
})();

if (typeof module === "object") module.exports = Plans;
