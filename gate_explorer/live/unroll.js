// One cell over a sequence: its arrays, the forward pass and backpropagation through time.
//
// A cell of the engine is what Engine.run lists in result.cells, and: kind, its lines in cells.js;
// W, its weights; plan, the interventions on it; input (T, size), what it reads; from_x and from_h
// (T, rows), W_ih x + b_ih and W_hh h + b_hh. d_... is the gradient with respect to ....
"use strict";

const Unroll = (() => {
  const node = typeof require === "function";
  const { addProduct, addProducts, addTransposedProduct, at } = node
    ? require("./matrix.js")
    : Matrix;
  const { apply, applyBackward } = node ? require("./plans.js") : Plans;
  const CELLS = node ? require("./cells.js") : Cells;

  // The arrays of one cell, by time step.
  function newCell(model, layer, direction, input, T, plan) {
    const H = model.hidden_size;
    const sizes = { hidden: model.state_size, cell: H };
    const arrays = (names) =>
      Object.fromEntries(names.map((name) => [name, new Float32Array(T * (sizes[name] ?? H))]));
    return {
      layer, direction, input, T, H, sizes, plan,
      kind: CELLS[model.cell],
      W: model.cells[layer * model.directions + direction],
      from_x: new Float32Array(T * model.gates.length * H),
      from_h: new Float32Array(T * model.gates.length * H),
      preactivations: arrays(model.gates),
      gates: arrays(model.gates),
      states: arrays(model.states),
    };
  }

  function copyCell(source, target) {
    target.from_x.set(source.from_x);
    target.from_h.set(source.from_h);
    for (const group of ["preactivations", "gates", "states"]) {
      for (const [name, values] of Object.entries(source[group])) target[group][name].set(values);
    }
  }

  // Read the steps of a sequence whose steps from `from` up to and without `to` are new.
  function forwardCell(cell, from, to) {
    const { kind, W, T, direction, from_x, input, plan } = cell;
    const rows = W.ih.rows;
    for (let t = from; t < to; t++) at(from_x, t, rows).set(W.b_ih);
    addProducts(W.ih, input, from_x, from, to);
    const last = direction ? -1 : T;
    for (let t = direction ? to - 1 : from; from < to && t !== last; t += direction ? -1 : 1) {
      const s = stepOf(cell, t);
      s.from_h.set(W.b_hh);
      if (s.recurrent) addProduct(W.hh, s.before.hidden, s.from_h);
      for (const line of kind.lines) {
        line.forward(s);
        apply(plan.onLine(line.name, t), s.y[line.name], s.before[line.name]);
      }
    }
  }

  // One time step, for the lines of cells.js.
  function stepOf(cell, t) {
    const { kind, W, T, H, sizes, direction, plan } = cell;
    const rows = W.hh.rows;
    const views = (arrays, names, t) =>
      Object.fromEntries(names.map((name) => [name, at(arrays[name], t, sizes[name] ?? H)]));
    const earlier = direction ? t + 1 : t - 1;
    const starts = earlier < 0 || earlier >= T || plan.cuts(t);
    const zeros = () => kind.states.map((name) => [name, new Float32Array(sizes[name])]);
    return {
      H, W, starts,
      stages: plan.stages,
      recurrent: plan.recurrent(t),
      before: starts ? Object.fromEntries(zeros()) : views(cell.states, kind.states, earlier),
      from_x: at(cell.from_x, t, rows),
      from_h: at(cell.from_h, t, rows),
      a: views(cell.preactivations, kind.gates, t),
      y: { ...views(cell.gates, kind.gates, t), ...views(cell.states, kind.states, t) },
    };
  }

  // The backward pass of one cell: adds to `d_input`, and returns what Engine.gradients lists.
  function backwardCell(cell, d_output, directions, d_input) {
    const { kind, W, T, H, sizes, direction, plan, gates, states } = cell;
    const d_gates = emptyLike(gates);
    const d_states = emptyLike(states);
    const zeros = (names) =>
      Object.fromEntries(names.map((name) => [name, new Float64Array(sizes[name] ?? H)]));
    const d_from_x = new Float64Array(W.ih.rows);
    const d_from_h = new Float64Array(W.hh.rows);
    let carried = zeros(kind.states); // from the step that is read next
    for (let t = direction ? 0 : T - 1; t >= 0 && t < T; t += direction ? 1 : -1) {
      const d = { ...zeros(kind.gates), ...carried };
      const above = at(d_output, t * directions + direction, sizes.hidden);
      above.forEach((value, k) => (d.hidden[k] += value));
      const s = { ...stepOf(cell, t), d, d_before: zeros(kind.states), d_from_x, d_from_h };
      for (const line of [...kind.lines].reverse()) {
        const { name } = line;
        (d_gates[name] ?? d_states[name]).set(d[name], t * d[name].length);
        applyBackward(plan.onLine(name, t), d[name], s.d_before[name]);
        line.backward(s);
      }
      if (s.recurrent) addTransposedProduct(W.hh, d_from_h, s.d_before.hidden);
      addTransposedProduct(W.ih, d_from_x, at(d_input, t, W.ih.columns));
      carried = s.starts ? zeros(kind.states) : s.d_before;
    }
    return { gates: d_gates, states: d_states };
  }

  function emptyLike(arrays) {
    return Object.fromEntries(
      Object.entries(arrays).map(([name, values]) => [name, new Float32Array(values.length)]),
    );
  }

  return { newCell, copyCell, forwardCell, backwardCell, stepOf };
})();

if (typeof module === "object") module.exports = Unroll;
