"use strict";

// The list of active interventions: the engine's own JSON, and `run`, the network that each one
// acts on (its index on the page; null is every network that it applies to).
const Interventions = (() => {
  // The interventions of one network, as Engine.run takes them.
  function forModel(list, model, index) {
    return list.filter((each) => applies(each, model, index)).map(({ run, ...rest }) => rest);
  }

  function applies(each, model, index) {
    return (each.run == null || each.run === index) && Engine.problem(model, each) === "";
  }

  // The list with one more intervention. It replaces those that act on the same gate or state of
  // the same units, the earlier cut, or the earlier mistake.
  function added(list, next) {
    return [...list.filter((each) => target(each) !== target(next)), next];
  }

  function target({ type, gate, state, unit, run, layer, direction }) {
    const value = type === "gate" ? gate : (state ?? "");
    return JSON.stringify([
      state ? "state" : type,
      value,
      unit ?? null,
      run ?? null,
      layer ?? null,
      direction ?? null,
    ]);
  }

  function same(a, b) {
    const plain = (each) =>
      JSON.stringify(
        Object.entries(each)
          .filter(([, v]) => v != null)
          .sort(),
      );
    return plain(a) === plain(b);
  }

  // What can be made of a list that came with a link. Anything else is left out.
  function valid(list, models) {
    if (!Array.isArray(list)) return [];
    const isObject = (each) => each !== null && typeof each === "object";
    const isPossible = (each) =>
      models.some((model, index) => model && applies(each, model, index));
    return list.filter((each) => isObject(each) && isPossible(each));
  }

  return { forModel, added, same, valid };
})();
