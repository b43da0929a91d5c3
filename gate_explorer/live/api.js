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
"use strict";

const explorer = (() => {
  const { load, run: runModel, probabilitiesAfter } =
    typeof require === "function" ? require("./engine.js") : Engine;
  const MAX_PREFIXES = 256; // MAX_BINS of gate_explorer/observation/time_bins.py

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

  // The object of a page whose data is `data`; page.py writes it.
  function create(data) {
    const models = data.models.map((spec) => (spec.unsupported ? null : load(spec)));
    function run(pixels, { run: index = 0, interventions = [] } = {}) {
      const model = models[index];
      if (model === undefined) {
        throw new RangeError(`run is ${index}: expected 0 to ${models.length - 1}`);
      }
      if (model === null) throw new RangeError(`run ${index}: ${data.models[index].unsupported}`);
      return toArrays(runModel(model, pixels, { interventions, gradients: true }));
    }
    return { data, models, run };
  }

  if (typeof document === "undefined") return { create, toArrays };
  return create(JSON.parse(document.getElementById("page-data").textContent));
})();

if (typeof window === "object") window.explorer = explorer;
if (typeof module === "object") module.exports = explorer;
