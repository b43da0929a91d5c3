// Stages of a time step, as torch.nn computes them and as known mistakes do.
//
// A stage is an elementwise function: its text, value(...), and slopes(...), its partial derivative
// with respect to each argument. Names, ids and order of the variants are those of the verifier's
// catalogue, cell_verifier/mistakes/step.py. `peepholes` is missing: it needs weights that a run
// does not have.
"use strict";

const Mistakes = (() => {
  const {
    sigmoid, tanh, relu, identity, hardtanh, softsign, leakyRelu, elu, gelu, silu, sin, hardSigmoid,
  } = typeof require === "function" ? require("./functions.js") : Functions;

  const STAGES = {
    rnn: { activation: tanh },
    gru: {
      sigmoid,
      activation: tanh,
      // a_n from n_x = W_in x + b_in, r, n_h = W_hn h + b_hn, and b = b_hn
      reset: {
        text: "W_in x + b_in + r ⊙ (W_hn h + b_hn)",
        value: (n_x, r, n_h) => n_x + r * n_h,
        slopes: (n_x, r, n_h) => [1, n_h, r],
      },
      // h'
      update: {
        text: "(1 - z) ⊙ n + z ⊙ h",
        value: (z, n, h) => (1 - z) * n + z * h,
        slopes: (z, n, h) => [h - n, 1 - z, z],
      },
    },
    lstm: {
      sigmoid,
      activation: tanh,
      // c'
      cell: {
        text: "f ⊙ c + i ⊙ g",
        value: (i, f, g, c) => f * c + i * g,
        slopes: (i, f, g, c) => [g, c, i, f],
      },
      // h' from o, the new c and the old c
      hidden: {
        text: "o ⊙ tanh(c')",
        value: (o, c) => o * Math.tanh(c),
        slopes: (o, c) => [Math.tanh(c), o * tanhSlope(c), 0],
      },
    },
  };

  // id of a mistake -> its variants: the stages in place of the right ones
  const GATED = {
    "hard-sigmoid": [{ sigmoid: hardSigmoid(1 / 6) }, { sigmoid: hardSigmoid(0.2) }],
    "sigmoid-candidate": [{ activation: sigmoid }],
    "relu-candidate": [{ activation: relu }],
  };
  const MISTAKES = {
    rnn: {
      "wrong-nonlinearity": [
        relu, sigmoid, identity, hardtanh, softsign, leakyRelu, elu, gelu, silu, sin,
      ].map((activation) => ({ activation })),
    },
    gru: {
      ...GATED,
      "reset-before-matmul": [
        {
          reset: {
            scalesState: true, // n_h = W_hn (r ⊙ h) + b_hn
            text: "W_in x + b_in + W_hn (r ⊙ h) + b_hn",
            value: (n_x, r, n_h) => n_x + n_h,
            slopes: () => [1, 0, 1],
          },
        },
      ],
      "reset-outside-bias": [
        {
          reset: {
            text: "W_in x + b_in + r ⊙ (W_hn h) + b_hn",
            value: (n_x, r, n_h, b) => n_x + r * (n_h - b) + b,
            slopes: (n_x, r, n_h, b) => [1, n_h - b, r],
          },
        },
      ],
      "reset-over-everything": [
        {
          reset: {
            text: "r ⊙ (W_in x + b_in + W_hn h + b_hn)",
            value: (n_x, r, n_h) => r * (n_x + n_h),
            slopes: (n_x, r, n_h) => [r, n_x + n_h, r],
          },
        },
      ],
      "no-reset": [
        {
          reset: {
            text: "W_in x + b_in + W_hn h + b_hn",
            value: (n_x, r, n_h) => n_x + n_h,
            slopes: () => [1, 0, 1],
          },
        },
      ],
      "swapped-update": [
        {
          update: {
            text: "z ⊙ n + (1 - z) ⊙ h",
            value: (z, n, h) => z * n + (1 - z) * h,
            slopes: (z, n, h) => [n - h, z, 1 - z],
          },
        },
      ],
    },
    lstm: {
      ...GATED,
      "swapped-input-forget": [
        {
          cell: {
            text: "i ⊙ c + f ⊙ g",
            value: (i, f, g, c) => i * c + f * g,
            slopes: (i, f, g, c) => [c, g, f, i],
          },
        },
      ],
      "added-not-multiplied": [
        {
          cell: {
            text: "f ⊙ c + i + g",
            value: (i, f, g, c) => f * c + (i + g),
            slopes: (i, f, g, c) => [1, c, 1, f],
          },
        },
      ],
      "coupled-gates": [
        {
          cell: {
            text: "f ⊙ c + (1 - f) ⊙ g",
            value: (i, f, g, c) => f * c + (1 - f) * g,
            slopes: (i, f, g, c) => [0, c - g, 1 - f, f],
          },
        },
        {
          cell: {
            text: "(1 - i) ⊙ c + i ⊙ g",
            value: (i, f, g, c) => (1 - i) * c + i * g,
            slopes: (i, f, g, c) => [g - c, 0, i, 1 - i],
          },
        },
      ],
      "tanh-stored-cell": [{ cell: squashed() }, { cell: squashed(), hidden: withoutTanh() }],
      "missing-output-tanh": [{ hidden: withoutTanh() }],
      "tanh-after-output-gate": [
        {
          hidden: {
            text: "tanh(o ⊙ c')",
            value: (o, c) => Math.tanh(o * c),
            slopes: (o, c) => [c * tanhSlope(o * c), o * tanhSlope(o * c), 0],
          },
        },
      ],
      "output-from-old-cell": [
        {
          hidden: {
            text: "o ⊙ tanh(c)",
            value: (o, c, old) => o * Math.tanh(old),
            slopes: (o, c, old) => [Math.tanh(old), 0, o * tanhSlope(old)],
          },
        },
      ],
    },
  };

  // c' = tanh(f ⊙ c + i ⊙ g)
  function squashed() {
    return {
      text: "tanh(f ⊙ c + i ⊙ g)",
      value: (i, f, g, c) => Math.tanh(f * c + i * g),
      slopes: (i, f, g, c) => [g, c, i, f].map((slope) => slope * tanhSlope(f * c + i * g)),
    };
  }

  // h' = o ⊙ c'
  function withoutTanh() {
    return {
      text: "o ⊙ c'",
      value: (o, c) => o * c,
      slopes: (o, c) => [c, o, 0],
    };
  }

  function tanhSlope(a) {
    return 1 - Math.tanh(a) ** 2;
  }

  // The stages of a cell: those of torch.nn, those of an RNN with ReLU, those of the mistakes.
  //
  // mistakes: [{id, variant}, ...]
  function stagesOf(cell, nonlinearity, mistakes) {
    const activation = cell === "rnn" && nonlinearity === "relu" ? { activation: relu } : {};
    const wrong = mistakes.map(({ id, variant = 0 }) => MISTAKES[cell][id][variant]);
    return Object.assign({}, STAGES[cell], activation, ...wrong);
  }

  return { MISTAKES, stagesOf };
})();

if (typeof module === "object") module.exports = Mistakes;
