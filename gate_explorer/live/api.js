// window.explorer: the models of this page, to be run from the console or by a program.
//
//   explorer.run(pixels, {run: 0, interventions: []}) -> result
//
//   pixels: height x width values from 0 to 255, row by row, exactly as the model's data set stores
//   them: 0 is the background, and nothing is centred or scaled. run: the index of the model on the
//   page. interventions: see engine.js. The result has plain arrays, so it can be written as JSON:
//
//   result.logits                          (classes,) of the last step
//   result.probabilities[t]                (classes,) if the sequence ended after step t. In two
//                                          directions and more than 256 steps they are computed
//                                          at 256 steps at most, as in the recorded page, and are
//                                          null elsewhere
//   result.gates[layer][direction].forget[t]     (hidden_size,); direction 0 is forward, 1 reverse
//   result.states[layer][direction].hidden[t]    after step t; an LSTM also has `cell`
//   result.gradients[layer][direction].hidden[t] the derivative of the logit of the class
//                                          result.gradientClass, the winning one, with respect to
//                                          each state; an LSTM also has `cell`
//   result.inputGradient[t]                (input_size,) with respect to the input x_t, which is
//                                          pixels / 127.5
//   result.prediction                      the name of the winning class
//
// A wrong argument throws a TypeError or a RangeError that names it, its value and what is expected.
"use strict";

const explorer = (() => {
  const { load, run: runModel, probabilitiesAfter } =
    typeof require === "function" ? require("./engine.js") : Engine;
  const MAX_PREFIXES = 256; // MAX_BINS of gate_explorer/observation/time_bins.py
  const INTERVENTION_NAMES = [
    ...["type", "gate", "state", "value", "id", "variant", "step"],
    ...["unit", "layer", "direction", "from", "to"],
  ];

  // The result of Engine.run, with gradients, in plain arrays.
  function toArrays(result) {
    const { model, cells, logits, gradients } = result;
    return {
      prediction: model.class_names[gradients.class],
      logits: Array.from(logits),
      probabilities: probabilities(result),
      gates: byPlace(model, cells, ({ gates }) => gates),
      states: byPlace(model, cells, ({ states }) => states),
      gradients: byPlace(model, gradients.cells, ({ states }) => states),
      gradientClass: gradients.class,
      inputGradient: steps(gradients.input, model.steps),
    };
  }

  function probabilities(result) {
    const { steps: T, directions } = result.model;
    const each = directions === 1 ? 1 : Math.ceil(T / MAX_PREFIXES);
    return Array.from({ length: T }, (_, t) => {
      const isComputed = (t + 1) % each === 0 || t === T - 1;
      return isComputed ? Array.from(probabilitiesAfter(result, t)) : null;
    });
  }

  // [layer][direction][name][t][unit]
  function byPlace({ directions, num_layers, steps: T }, cells, arraysOf) {
    return Array.from({ length: num_layers }, (_, layer) =>
      cells.slice(layer * directions, (layer + 1) * directions).map((cell) =>
        Object.fromEntries(
          Object.entries(arraysOf(cell)).map(([name, values]) => [name, steps(values, T)]),
        ),
      ),
    );
  }

  function steps(values, T) {
    const size = values.length / T;
    return Array.from({ length: T }, (_, t) =>
      Array.from(values.subarray(t * size, (t + 1) * size)),
    );
  }

  function checkedOptions(options) {
    if (!isObject(options)) {
      throw new TypeError(`options is ${JSON.stringify(options)}: expected {run, interventions}`);
    }
    checkNames("options", options, ["run", "interventions"]);
    return options;
  }

  function checkPixels(pixels, { height, width }) {
    const expected = `expected a flat array of ${height} x ${width} values from 0 to 255`;
    if (!Array.isArray(pixels) && !ArrayBuffer.isView(pixels)) {
      throw new TypeError(`pixels is ${JSON.stringify(pixels)?.slice(0, 40)}: ${expected}`);
    }
    if (pixels.length !== height * width) {
      throw new RangeError(`pixels has ${pixels.length} values: ${expected}`);
    }
    const isPixel = (value) => typeof value === "number" && value >= 0 && value <= 255;
    const wrong = Array.from(pixels).findIndex((value) => !isPixel(value));
    if (wrong >= 0) throw new RangeError(`pixels[${wrong}] is ${pixels[wrong]}: ${expected}`);
  }

  function checkInterventions(interventions) {
    if (!Array.isArray(interventions)) {
      const given = JSON.stringify(interventions);
      throw new TypeError(`interventions is ${given}: expected an array of objects`);
    }
    for (const each of interventions) {
      const name = `intervention ${JSON.stringify(each)}`;
      if (!isObject(each)) throw new TypeError(`${name}: expected an object with a type`);
      checkNames(name, each, INTERVENTION_NAMES);
    }
  }

  function checkNames(subject, object, allowed) {
    const unknown = Object.keys(object).find((each) => !allowed.includes(each));
    if (unknown !== undefined) {
      throw new TypeError(`${subject} has no ${unknown}: expected ${allowed.join(", ")}`);
    }
  }

  function isObject(value) {
    return typeof value === "object" && value !== null && !Array.isArray(value);
  }

  // The object of a page whose data is `data`; page.py writes it.
  function create(data) {
    const models = data.models.map((spec) => (spec.unsupported ? null : load(spec)));
    function run(pixels, options = {}) {
      const { run: index = 0, interventions = [] } = checkedOptions(options);
      const model = Number.isInteger(index) ? models[index] : undefined;
      if (model === undefined) {
        throw new RangeError(`run is ${JSON.stringify(index)}: expected 0 to ${models.length - 1}`);
      }
      if (model === null) throw new RangeError(`run ${index}: ${data.models[index].unsupported}`);
      checkPixels(pixels, model);
      checkInterventions(interventions);
      return toArrays(runModel(model, pixels, { interventions, gradients: true }));
    }
    return { data, models, run };
  }

  if (typeof document === "undefined") return { create, toArrays };
  return create(JSON.parse(document.getElementById("page-data").textContent));
})();

if (typeof window === "object") window.explorer = explorer;
if (typeof module === "object") module.exports = explorer;
