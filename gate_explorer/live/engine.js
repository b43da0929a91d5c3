// The engine of the live page: RNN, GRU and LSTM classifiers, forward and backward, without a DOM.
//
// It runs in a browser (global `Engine`) and in Node (`require("./engine.js")`). The equations are
// those of scratch_cells/, and are written in cells.js; unroll.js applies them to a sequence.
// Nothing here depends on the page.
//
// A SPEC is a run as JSON (gate_explorer/live/spec.py writes it):
//
//   {name: "scratch lstm", cell: "lstm",           // "rnn", "gru" or "lstm"
//    nonlinearity: "tanh",                         // "relu" is possible for an RNN
//    input_size, hidden_size, proj_size, num_layers, bidirectional, bias,   // as in torch.nn
//    height: 28, width: 28, sequence: "rows",      // or "columns", "pixels", "permuted"
//    order: [...],                                 // "permuted" only: the pixel of each step
//    class_names: ["0", ...], accuracy: 0.988,     // of the test images; null if not known
//    weights: {"layer.weight_ih_l0": "<base64 of little-endian float32>", ..., "readout.bias": ""}}
//
// Engine.load(spec) -> model    The sizes of the spec, and:
//   model.steps       T, the time steps of an image
//   model.directions  1 or 2
//   model.gates       ["input", "forget", "candidate", "output"], in the order of the weight rows
//   model.states      ["hidden", "cell"] for an LSTM, else ["hidden"]
//   model.mistakes    the mistakes of the verifier's catalogue that this cell can make:
//                     {id: number of variants}
//
// Engine.run(model, pixels, {interventions: [], gradients: false, previous: null}) -> result
//   pixels: height x width values from 0 to 255, row by row, exactly as the data set stores them.
//   gradients: true computes result.gradients too. previous: a result of the same model; steps that
//   cannot differ from it are copied instead of computed.
//
//   result.logits         Float32Array (classes), after the last step
//   result.probabilities  Float32Array (T * classes): the range [t * classes, (t + 1) * classes) is
//                         for the case that the sequence ended after step t. In two directions
//                         every prefix of the sequence needs a run of its own: only the last step
//                         is computed, the others are NaN. Engine.probabilitiesAfter(result, t)
//                         computes one of them.
//   result.cells          one for each layer and direction: layer * directions + direction
//     {layer, direction,        // direction 0 reads forward, 1 in reverse
//      gates: {forget: Float32Array (T * hidden_size), ...},      // activated
//      preactivations: {forget: Float32Array (T * hidden_size), ...},
//      states: {hidden: Float32Array (T * (proj_size or hidden_size)), cell: ...}}  // after step t
//   result.gradients      null, or Engine.gradients(result)
//   All arrays are by time: index t belongs to step t of the sequence in both directions.
//
// Engine.gradients(result, class = the winning one) ->
//   {class, input: Float32Array (T * input_size),           // with respect to x_t
//    cells: [{states: {hidden: Float32Array (T * ...), cell: ...}, gates: {...}}, ...]}
//   The gradient of one class's logit after the last step. With respect to a state it is the total
//   derivative, through all later steps and layers, as in gate_explorer/observation/gradients.py.
//
// Engine.explain(result, {layer, direction, step, unit, name}) ->
//   The equation of a gate or a state (`name`: "forget", "hidden", ...) of one unit at one step:
//   {symbol: "f", value, equation: "f = σ(W_if x + b_if + W_hf h + b_hf)",
//    terms: [{symbol: "W_if x", value}, ...],   // what the equation contains
//    substituted: "0.912 = σ(1.33 + 0.12 + 0.77 + 0.12)",
//    computed,                                  // by the equation; `value` may be overwritten
//    preactivation,                             // null for a state
//    note: ""}                                  // "held at 0 by an intervention", ...
//   A mistake that is made changes the equation.
//
// An INTERVENTION is plain JSON, so that a link can hold it. `layer`, `direction` and `unit` select
// where it acts; null or missing means all. `from` and `to` select the steps, both included; null
// or missing means from the first, to the last.
//
//   {type: "gate", gate: "forget", value: 0, unit: null}   hold a gate at a value. What depends on
//                                                     it uses the value (a GRU's candidate its r).
//   {type: "zero", state: "hidden", unit: 3}          a unit of a state is 0 after every step
//   {type: "freeze", state: "cell", unit: 3, from: 9} it keeps the value that it had before step 9
//   {type: "no_recurrence"}                           the product W_hh h is 0; the biases stay
//   {type: "cut", step: 9}                            step 9 starts from a state of zeros
//   {type: "mistake", id: "swapped-input-forget", variant: 0}   a mistake of the catalogue
//
// Engine.problem(model, intervention) -> "" or one sentence: why it cannot be made on this model.
// Engine.bytes(base64) -> Uint8Array    The pixels of a sample image of the page.
"use strict";

const Engine = (() => {
  const node = typeof require === "function";
  const { decode, decodeBytes, addProduct, at } = node ? require("./matrix.js") : Matrix;
  const { softmax } = node ? require("./functions.js") : Functions;
  const { MISTAKES } = node ? require("./mistakes.js") : Mistakes;
  const { problem, plan } = node ? require("./plans.js") : Plans;
  const { newCell, copyCell, forwardCell, backwardCell, stepOf } = node
    ? require("./unroll.js")
    : Unroll;
  const CELLS = node ? require("./cells.js") : Cells;
  const { explain: explainLine } = node ? require("./equations.js") : Equations;

  const PIXEL_SCALE = 127.5; // of sequenced_mnist/sequencing.py: 0 to 255 becomes 0 to 2

  function load(spec) {
    const directions = spec.bidirectional ? 2 : 1;
    const state_size = spec.proj_size || spec.hidden_size;
    const { gates, states } = CELLS[spec.cell];
    const classes = spec.class_names.length;
    const mistakes = Object.entries(MISTAKES[spec.cell]).map(([id, all]) => [id, all.length]);
    const cells = [];
    for (let layer = 0; layer < spec.num_layers; layer++) {
      const width = layer ? directions * state_size : spec.input_size;
      for (let direction = 0; direction < directions; direction++) {
        cells.push(cellWeights(spec, layer, direction, width, state_size, gates.length));
      }
    }
    return {
      ...spec,
      weights: null, // decoded above
      cells,
      readout: decode(spec.weights["readout.weight"], classes, directions * state_size),
      readout_bias: decode(spec.weights["readout.bias"], classes, 1).values,
      steps: (spec.height * spec.width) / spec.input_size,
      directions,
      state_size,
      classes,
      gates,
      states,
      mistakes: Object.fromEntries(mistakes),
    };
  }

  function cellWeights(spec, layer, direction, width, state_size, num_gates) {
    const rows = num_gates * spec.hidden_size;
    const read = (name, rows, columns) =>
      decode(spec.weights[`layer.${name}_l${layer}${direction ? "_reverse" : ""}`], rows, columns);
    return {
      ih: read("weight_ih", rows, width),
      hh: read("weight_hh", rows, state_size),
      b_ih: spec.bias ? read("bias_ih", rows, 1).values : new Float32Array(rows),
      b_hh: spec.bias ? read("bias_hh", rows, 1).values : new Float32Array(rows),
      hr: spec.proj_size ? read("weight_hr", state_size, spec.hidden_size) : null,
    };
  }

  // The sequence that the model reads, (T, input_size): sequenced_mnist.to_sequences.
  function sequenceOf({ height, width, sequence, order }, pixels) {
    if (pixels.length !== height * width) {
      throw new RangeError(`pixels has ${pixels.length} values: expected ${height} x ${width}`);
    }
    const pixelOf = {
      rows: (k) => k,
      columns: (k) => (k % height) * width + Math.floor(k / height),
      pixels: (k) => k,
      permuted: (k) => order[k],
    }[sequence];
    return Float32Array.from(pixels, (_, k) => pixels[pixelOf(k)] / PIXEL_SCALE);
  }

  function run(model, pixels, options = {}) {
    const { interventions = [], gradients: differentiate = false, previous = null } = options;
    const x = sequenceOf(model, pixels);
    const plans = model.cells.map((_, index) =>
      plan(model, ...placeOf(model, index), interventions),
    );
    const key = JSON.stringify(interventions);
    const kept = previous?.model === model && previous.key === key ? previous : null;
    const cells = forward(model, x, model.steps, plans, kept);
    const probabilities = probabilitiesOf(model, cells);
    const logits = logitsAfter(model, cells, model.steps - 1);
    const result = { model, interventions, x, plans, key, cells, logits, probabilities };
    return { ...result, gradients: differentiate ? gradients(result) : null };
  }

  function placeOf({ directions }, index) {
    return [Math.floor(index / directions), index % directions];
  }

  // All layers over a sequence of T steps. Steps before and after those in which the sequence
  // differs from that of the result `kept` may be equal to those in it.
  function forward(model, x, T, plans, kept) {
    const cells = [];
    let input = x;
    let [from, to] = kept ? changedSteps(x, kept.x, T) : [0, T];
    for (let layer = 0; layer < model.num_layers; layer++) {
      for (let direction = 0; direction < model.directions; direction++) {
        const index = cells.length;
        const cell = newCell(model, layer, direction, input, T, plans[index]);
        if (kept) copyCell(kept.cells[index], cell);
        forwardCell(cell, from, to);
        cells.push(cell);
      }
      input = sideBySide(cells.slice(-model.directions), T, model.state_size);
      if (from < to) [from, to] = [model.directions === 1 ? from : 0, T];
    }
    return cells;
  }

  // The first step at which two sequences differ, and the step after the last one.
  function changedSteps(x, other, T) {
    const first = x.findIndex((value, k) => value !== other[k]);
    if (first < 0) return [0, 0];
    const last = x.findLastIndex((value, k) => value !== other[k]);
    const size = x.length / T;
    return [Math.floor(first / size), Math.floor(last / size) + 1];
  }

  // The outputs of both directions, (T, directions * state_size).
  function sideBySide(cells, T, size) {
    if (cells.length === 1) return cells[0].states.hidden;
    const joined = new Float32Array(T * 2 * size);
    for (let t = 0; t < T; t++) {
      cells.forEach(({ states }, direction) => {
        joined.set(at(states.hidden, t, size), (2 * t + direction) * size);
      });
    }
    return joined;
  }

  // The classifier reads the last layer's state after the last step that each direction reads.
  function logitsAfter(model, cells, last) {
    const { state_size: size, directions } = model;
    const final = new Float32Array(directions * size);
    cells.slice(-directions).forEach(({ states, direction }) => {
      final.set(at(states.hidden, direction ? 0 : last, size), direction * size);
    });
    const logits = Float32Array.from(model.readout_bias);
    addProduct(model.readout, final, logits);
    return logits;
  }

  function probabilitiesOf(model, cells) {
    const { steps, classes, directions } = model;
    const probabilities = new Float32Array(steps * classes).fill(NaN);
    for (let t = directions === 1 ? 0 : steps - 1; t < steps; t++) {
      probabilities.set(softmax(logitsAfter(model, cells, t)), t * classes);
    }
    return probabilities;
  }

  function probabilitiesAfter({ model, x, plans, probabilities }, t) {
    if (model.directions === 1) return at(probabilities, t, model.classes);
    const prefix = x.subarray(0, (t + 1) * model.input_size);
    const cells = forward(model, prefix, t + 1, plans, null);
    return Float32Array.from(softmax(logitsAfter(model, cells, t)));
  }

  function winnerOf(logits) {
    return Math.max(0, logits.indexOf(Math.max(...logits))); // 0 where a logit is not a number
  }

  function explain({ model, cells }, { layer, direction = 0, step, unit, name }) {
    const cell = cells[layer * model.directions + direction];
    return explainLine(model, stepOf(cell, step), cell.plan.onLine(name, step), name, unit);
  }

  // Backpropagation through time, from one logit.
  function gradients({ model, x, cells, logits }, chosen = winnerOf(logits)) {
    const { steps: T, state_size: size, directions } = model;
    const weights = at(model.readout.values, chosen, model.readout.columns);
    let d_output = new Float64Array(T * directions * size); // of the last layer
    for (let direction = 0; direction < directions; direction++) {
      const t = direction ? 0 : T - 1;
      const part = at(weights, direction, size);
      d_output.set(part, (t * directions + direction) * size);
    }
    const byCell = [];
    for (let layer = model.num_layers - 1; layer >= 0; layer--) {
      const d_input = new Float64Array(T * cells[layer * directions].W.ih.columns);
      for (let direction = directions - 1; direction >= 0; direction--) {
        const cell = cells[layer * directions + direction];
        byCell.unshift(backwardCell(cell, d_output, directions, d_input));
      }
      d_output = d_input;
    }
    return { class: chosen, input: Float32Array.from(d_output), cells: byCell };
  }

  return { load, run, gradients, probabilitiesAfter, explain, problem, bytes: decodeBytes };
})();

if (typeof module === "object") module.exports = Engine;
