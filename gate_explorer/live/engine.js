// The engine of the live page: RNN, GRU and LSTM classifiers, forward and backward, without a DOM.
//
// It runs in a browser (global `Engine`) and in Node (`require("./engine.js")`). The equations are
// those of scratch_cells/; they are written in cells.js. Nothing here depends on the page.
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
//   result.probabilities  Float32Array (T * classes): step t is the range [t * classes, ...), if the
//                         sequence ended after step t. In two directions every prefix of the
//                         sequence needs a run of its own: only the last step is computed, the
//                         others are NaN. Engine.probabilitiesAfter(result, t) computes step t.
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
//    terms: [{symbol: "W_if x", value}, ...],   // what the equation contains, in its order
//    numbers: "0.912 = σ(1.33 + 0.12 + 0.77 + 0.12)",
//    preactivation,                             // null for a state
//    note: ""}                                  // "held at 0 by an intervention", ...
//
// An INTERVENTION is plain JSON, so that a link can hold it. `layer`, `direction` and `unit` select
// where it acts; null or missing means all. `from` and `to` select the steps, both included; null or
// missing means from the first, to the last.
//
//   {type: "gate", gate: "forget", value: 0, unit: null}   hold a gate at a value. What depends on
//                                                     it uses the value (a GRU's candidate its r).
//   {type: "zero", state: "hidden", unit: 3}          a unit of a state is 0 after every step
//   {type: "freeze", state: "cell", unit: 3, from: 9} it keeps the value that it had before step 9
//   {type: "no_recurrence"}                           the product W_hh h is 0; the biases stay
//   {type: "cut", step: 9}                            step 9 starts from a state of zeros
//   {type: "mistake", id: "swapped-input-forget", variant: 0}   a mistake of the catalogue, all steps
//
// Engine.toArrays(result) -> the result of window.explorer.run, see api.js.
"use strict";
