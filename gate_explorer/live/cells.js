// One time step of RNN, GRU and LSTM, forward and backward: the equations of scratch_cells/.
//
// A cell is a list of lines, one for each gate and each part of the state, in the order of its
// equations. forward(s) computes one line; backward(s) adds, for everything that the line reads,
// the derivative times the gradient with respect to the line's own value.
//
// Around the lines, the engine computes W_ih x + b_ih and W_hh h + b_hh of all gates, and their
// backward pass, and applies the interventions to each line. In a step `s`:
//
//   s.H                   hidden_size
//   s.W, s.stages         the weights, and the functions of mistakes.js
//   s.before.hidden       h, the state before the step; s.before.cell is c
//   s.from_x, s.from_h    W_ih x + b_ih and W_hh h + b_hh, the rows of all gates
//   s.a.forget            pre-activations
//   s.y.forget, s.y.cell  the value of each line: gates, and the state after the step
//   s.d                   the gradient with respect to each line's value
//   s.d_before, s.d_from_x, s.d_from_h   the gradient with respect to what is above
"use strict";

const Cells = (() => {
  const { addProduct, addTransposedProduct } =
    typeof require === "function" ? require("./matrix.js") : Matrix;

  // y = φ(W_x x + b_x + W_h h + b_h): a gate whose rows of the weights begin at `gate` * H.
  function gateLine(name, gate, φ) {
    return {
      name,
      forward({ H, stages, from_x, from_h, a, y }) {
        for (let k = 0, row = gate * H; k < H; k++, row++) {
          a[name][k] = from_x[row] + from_h[row];
          y[name][k] = stages[φ].value(a[name][k]);
        }
      },
      backward({ H, stages, a, y, d, d_from_x, d_from_h }) {
        for (let k = 0, row = gate * H; k < H; k++, row++) {
          const da = d[name][k] * stages[φ].slope(a[name][k], y[name][k]);
          d_from_x[row] = da;
          d_from_h[row] = da;
        }
      },
    };
  }

  // n  = tanh(W_ih x + b_ih + W_hh h + b_hh)
  // h' = n
  const rnn = {
    gates: ["candidate"],
    states: ["hidden"],
    lines: [
      gateLine("candidate", 0, "activation"),
      {
        name: "hidden",
        forward({ y }) {
          y.hidden.set(y.candidate);
        },
        backward({ H, d }) {
          for (let k = 0; k < H; k++) d.candidate[k] += d.hidden[k];
        },
      },
    ],
  };

  // r  = σ(W_ir x + b_ir + W_hr h + b_hr)
  // z  = σ(W_iz x + b_iz + W_hz h + b_hz)
  // n  = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))
  // h' = (1 - z) ⊙ n + z ⊙ h
  const gru = {
    gates: ["reset", "update", "candidate"],
    states: ["hidden"],
    lines: [
      gateLine("reset", 0, "sigmoid"),
      gateLine("update", 1, "sigmoid"),
      {
        name: "candidate",
        forward(s) {
          const { H, W, stages, from_x, from_h, a, y } = s;
          if (stages.reset.scalesState) candidateFromScaledState(s);
          for (let k = 0, row = 2 * H; k < H; k++, row++) {
            const [n_x, r, n_h, b] = [from_x[row], y.reset[k], from_h[row], W.b_hh[row]];
            a.candidate[k] = stages.reset.value(n_x, r, n_h, b);
            y.candidate[k] = stages.activation.value(a.candidate[k]);
          }
        },
        backward(s) {
          const { H, W, stages, from_x, from_h, a, y, d, d_from_x, d_from_h } = s;
          for (let k = 0, row = 2 * H; k < H; k++, row++) {
            const [n_x, r, n_h, b] = [from_x[row], y.reset[k], from_h[row], W.b_hh[row]];
            const [by_x, by_r, by_h] = stages.reset.slopes(n_x, r, n_h, b);
            const da = d.candidate[k] * stages.activation.slope(a.candidate[k], y.candidate[k]);
            d_from_x[row] = da * by_x;
            d.reset[k] += da * by_r;
            d_from_h[row] = da * by_h;
          }
          if (stages.reset.scalesState) backwardToScaledState(s);
        },
      },
      {
        name: "hidden",
        forward({ H, stages, y, before }) {
          for (let k = 0; k < H; k++) {
            y.hidden[k] = stages.update.value(y.update[k], y.candidate[k], before.hidden[k]);
          }
        },
        backward({ H, stages, y, before, d, d_before }) {
          for (let k = 0; k < H; k++) {
            const [z, n, h] = [y.update[k], y.candidate[k], before.hidden[k]];
            const [by_z, by_n, by_h] = stages.update.slopes(z, n, h);
            d.update[k] += d.hidden[k] * by_z;
            d.candidate[k] += d.hidden[k] * by_n;
            d_before.hidden[k] += d.hidden[k] * by_h;
          }
        },
      },
    ],
  };

  // The mistake reset-before-matmul: W_hn (r ⊙ h) + b_hn in place of W_hn h + b_hn.
  function candidateFromScaledState({ H, W, from_h, y, before, recurrent }) {
    const scaled = before.hidden.map((h, k) => y.reset[k] * h);
    const rows = from_h.subarray(2 * H);
    rows.set(W.b_hh.subarray(2 * H));
    if (recurrent) addProduct(W.hh, scaled, rows, 2 * H);
  }

  function backwardToScaledState({ H, W, y, before, d, d_before, d_from_h, recurrent }) {
    const d_scaled = new Float64Array(H);
    if (recurrent) addTransposedProduct(W.hh, d_from_h.subarray(2 * H), d_scaled, 2 * H);
    for (let k = 0; k < H; k++) {
      d.reset[k] += d_scaled[k] * before.hidden[k];
      d_before.hidden[k] += d_scaled[k] * y.reset[k];
    }
    d_from_h.fill(0, 2 * H);
  }

  // i  = σ(W_ii x + b_ii + W_hi h + b_hi)
  // f  = σ(W_if x + b_if + W_hf h + b_hf)
  // g  = tanh(W_ig x + b_ig + W_hg h + b_hg)
  // o  = σ(W_io x + b_io + W_ho h + b_ho)
  // c' = f ⊙ c + i ⊙ g
  // h' = o ⊙ tanh(c')        with a projection: h' = W_hr (o ⊙ tanh(c'))
  const lstm = {
    gates: ["input", "forget", "candidate", "output"],
    states: ["hidden", "cell"],
    lines: [
      gateLine("input", 0, "sigmoid"),
      gateLine("forget", 1, "sigmoid"),
      gateLine("candidate", 2, "activation"),
      gateLine("output", 3, "sigmoid"),
      {
        name: "cell",
        forward({ H, stages, y, before }) {
          const { input: i, forget: f, candidate: g } = y;
          for (let k = 0; k < H; k++) {
            y.cell[k] = stages.cell.value(i[k], f[k], g[k], before.cell[k]);
          }
        },
        backward({ H, stages, y, before, d, d_before }) {
          const { input: i, forget: f, candidate: g } = y;
          for (let k = 0; k < H; k++) {
            const [by_i, by_f, by_g, by_c] = stages.cell.slopes(i[k], f[k], g[k], before.cell[k]);
            d.input[k] += d.cell[k] * by_i;
            d.forget[k] += d.cell[k] * by_f;
            d.candidate[k] += d.cell[k] * by_g;
            d_before.cell[k] += d.cell[k] * by_c;
          }
        },
      },
      {
        name: "hidden",
        forward({ H, W, stages, y, before }) {
          const h = W.hr ? new Float32Array(H) : y.hidden;
          for (let k = 0; k < H; k++) {
            h[k] = stages.hidden.value(y.output[k], y.cell[k], before.cell[k]);
          }
          if (W.hr) addProduct(W.hr, h, y.hidden.fill(0));
        },
        backward({ H, W, stages, y, before, d, d_before }) {
          const dh = W.hr ? new Float64Array(H) : d.hidden;
          if (W.hr) addTransposedProduct(W.hr, d.hidden, dh);
          for (let k = 0; k < H; k++) {
            const [by_o, by_c, by_old_c] = stages.hidden.slopes(
              y.output[k], y.cell[k], before.cell[k],
            );
            d.output[k] += dh[k] * by_o;
            d.cell[k] += dh[k] * by_c;
            d_before.cell[k] += dh[k] * by_old_c;
          }
        },
      },
    ],
  };

  return { rnn, gru, lstm };
})();

if (typeof module === "object") module.exports = Cells;
