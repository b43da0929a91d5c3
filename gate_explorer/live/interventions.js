"use strict";

// The list of active interventions: the engine's own JSON, and `run`, the network that each one
// acts on (its index on the page; null is every network that it applies to).
const Interventions = (() => {
  // The interventions of one network, as Engine.run takes them.
  function forModel(list, model, index) {
    return list.filter((each) => applies(each, model, index)).map(({ run, ...rest }) => rest);
  }

  function applies(each, model, index) {
    if (each.run != null && each.run !== index) return false;
    if (each.type === "gate") return model.gates.includes(each.gate) && hasUnit(each, model);
    if (each.type === "zero" || each.type === "freeze") {
      return model.states.includes(each.state) && hasUnit(each, model);
    }
    if (each.type === "cut") return each.step < model.steps;
    return each.type !== "mistake" || each.id in model.mistakes;
  }

  function hasUnit({ unit, state }, model) {
    const units = (state === "hidden" && model.proj_size) || model.hidden_size;
    return unit == null || unit < units;
  }

  // The list with one more intervention. It replaces those that act on the same gate or state of
  // the same units, the earlier cut, or the earlier mistake.
  function added(list, next) {
    return [...list.filter((each) => target(each) !== target(next)), next];
  }

  function target({ type, gate, state, unit, run, layer, direction }) {
    const value = type === "gate" ? gate : state ?? "";
    return JSON.stringify([state ? "state" : type, value, unit ?? null, run ?? null, layer ?? null, direction ?? null]);
  }

  function same(a, b) {
    const plain = (each) => JSON.stringify(Object.entries(each).filter(([, v]) => v != null).sort());
    return plain(a) === plain(b);
  }

  // What a link may hold. Anything else is left out, because a link can come from anywhere.
  function valid(list, models) {
    if (!Array.isArray(list)) return [];
    return list.filter(
      (each) =>
        each !== null && typeof each === "object" && isWellFormed(each, models) &&
        models.some((model, index) => model && applies(each, model, index))
    );
  }

  function isWellFormed(each, models) {
    const index = (value) => value == null || (Number.isInteger(value) && value >= 0);
    if (!["unit", "layer", "direction", "run", "from", "to", "variant"].every((key) => index(each[key]))) return false;
    if (each.run != null && !models[each.run]) return false;
    switch (each.type) {
      case "gate":
        return Number.isFinite(each.value);
      case "zero":
      case "freeze":
      case "no_recurrence":
        return true;
      case "cut":
        return Number.isInteger(each.step) && each.step >= 0;
      case "mistake":
        return models.some((model) => model && (each.variant ?? 0) < (model.mistakes[each.id] ?? 0));
      default:
        return false;
    }
  }

  return { forModel, added, same, valid };
})();
