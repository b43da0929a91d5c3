// Activation functions: name, value(a), and slope(a, y), the derivative at a, where y = value(a).
"use strict";

const Functions = (() => {
  const sigmoid = {
    name: "σ",
    value: (a) => 1 / (1 + Math.exp(-a)),
    slope: (a, y) => y * (1 - y),
  };
  const tanh = {
    name: "tanh",
    value: Math.tanh,
    slope: (a, y) => 1 - y * y,
  };
  const relu = {
    name: "relu",
    value: (a) => (a > 0 ? a : a !== a ? a : 0), // NaN stays NaN, as in torch
    slope: (a) => (a > 0 ? 1 : 0),
  };
  const identity = {
    name: "identity",
    value: (a) => a,
    slope: () => 1,
  };
  const hardtanh = {
    name: "hardtanh",
    value: (a) => Math.min(1, Math.max(-1, a)),
    slope: (a) => (a > -1 && a < 1 ? 1 : 0),
  };
  const softsign = {
    name: "softsign",
    value: (a) => a / (1 + Math.abs(a)),
    slope: (a) => 1 / (1 + Math.abs(a)) ** 2,
  };
  const leakyRelu = {
    name: "leaky_relu",
    value: (a) => (a > 0 ? a : 0.01 * a),
    slope: (a) => (a > 0 ? 1 : 0.01),
  };
  const elu = {
    name: "elu",
    value: (a) => (a > 0 ? a : Math.expm1(a)),
    slope: (a, y) => (a > 0 ? 1 : y + 1),
  };
  const gelu = {
    name: "gelu",
    value: (a) => a * normalCDF(a),
    slope: (a) => normalCDF(a) + (a * Math.exp((-a * a) / 2)) / Math.sqrt(2 * Math.PI),
  };
  const silu = {
    name: "silu",
    value: (a) => a * sigmoid.value(a),
    slope: (a, y) => sigmoid.value(a) * (1 + a - y),
  };
  const sin = {
    name: "sin",
    value: Math.sin,
    slope: Math.cos,
  };

  // clamp(slope * a + 0.5, 0, 1)
  function hardSigmoid(slope) {
    return {
      name: "hardsigmoid",
      value: (a) => Math.min(1, Math.max(0, slope * a + 0.5)),
      slope: (a) => (Math.abs(slope * a) < 0.5 ? slope : 0),
    };
  }

  // Φ(a) = 1/2 + φ(a) (a + a^3 / 3 + a^5 / (3 · 5) + ...), all terms of one sign.
  function normalCDF(a) {
    if (Math.abs(a) > 9) return a > 0 ? 1 : 0; // exact in float64
    let sum = a;
    for (let n = 3, term = a; Math.abs(term) > 1e-17 * Math.abs(sum); n += 2) {
      term *= (a * a) / n;
      sum += term;
    }
    return 0.5 + (sum * Math.exp((-a * a) / 2)) / Math.sqrt(2 * Math.PI);
  }

  function softmax(logits) {
    const highest = logits.reduce((x, y) => Math.max(x, y));
    const powers = Array.from(logits, (logit) => Math.exp(logit - highest));
    const total = powers.reduce((x, y) => x + y);
    return powers.map((power) => power / total);
  }

  return {
    sigmoid, tanh, relu, identity, hardtanh, softsign, leakyRelu, elu, gelu, silu, sin,
    hardSigmoid, softmax,
  };
})();

if (typeof module === "object") module.exports = Functions;
