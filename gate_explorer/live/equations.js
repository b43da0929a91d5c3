// The equation of a gate or a state, with the values of one unit at one time step.
"use strict";

const Equations = (() => {
  const SYMBOLS = {
    rnn: { candidate: "n", hidden: "h'" },
    gru: { reset: "r", update: "z", candidate: "n", hidden: "h'" },
    lstm: { input: "i", forget: "f", candidate: "g", output: "o", cell: "c'", hidden: "h'" },
  };

  // See Engine.explain. `s` is the time step, as cells.js describes it; `held` lists the
  // interventions on this line.
  function explain({ cell, gates, proj_size }, s, held, name, unit) {
    const symbol = SYMBOLS[cell][name];
    const isGate = gates.includes(name);
    const { text, terms, computed } = isGate
      ? gate(cell, s, gates.indexOf(name), symbol, name, unit)
      : state(cell, s, name, unit, proj_size);
    const value = s.y[name][unit];
    return {
      symbol,
      value,
      computed,
      equation: `${symbol} = ${text}`,
      terms,
      substituted: `${format(computed)} = ${withValues(text, terms)}`,
      preactivation: isGate ? s.a[name][unit] : null,
      note: noteOf(held, unit),
    };
  }

  function gate(cell, { H, W, stages, from_x, from_h, a, y }, index, symbol, name, unit) {
    const row = index * H + unit;
    const letter = cell === "rnn" ? "h" : symbol; // an RNN's only weights are W_ih and W_hh
    const x = { symbol: `W_i${letter} x`, value: from_x[row] - W.b_ih[row] };
    const b_x = { symbol: `b_i${letter}`, value: W.b_ih[row] };
    const h = { symbol: `W_h${letter} h`, value: from_h[row] - W.b_hh[row] };
    const b_h = { symbol: `b_h${letter}`, value: W.b_hh[row] };
    const isCandidate = name === "candidate";
    const φ = isCandidate ? stages.activation : stages.sigmoid;
    const computed = φ.value(a[name][unit]);
    if (cell === "gru" && isCandidate) {
      if (stages.reset.scalesState) h.symbol = "W_hn (r ⊙ h)";
      const r = { symbol: "r", value: y.reset[unit] };
      return { text: `${φ.name}(${stages.reset.text})`, terms: [x, b_x, r, h, b_h], computed };
    }
    const terms = [x, b_x, h, b_h];
    return { text: `${φ.name}(${terms.map((term) => term.symbol).join(" + ")})`, terms, computed };
  }

  function state(cell, { stages, y, before }, name, unit, proj_size) {
    const named = (symbols) =>
      Object.entries(symbols).map(([symbol, value]) => ({ symbol, value }));
    if (cell === "rnn") {
      const n = y.candidate[unit];
      return { text: "n", terms: named({ n }), computed: n };
    }
    if (cell === "gru") {
      const [z, n, h] = [y.update[unit], y.candidate[unit], before.hidden[unit]];
      const { text, value } = stages.update;
      return { text, terms: named({ z, n, h }), computed: value(z, n, h) };
    }
    if (name === "hidden" && proj_size) {
      const text = `W_hr (${stages.hidden.text})`; // a sum over all units: it has no short form
      return { text, terms: [], computed: y.hidden[unit] };
    }
    const { input: i, forget: f, candidate: g, output: o } = y;
    const [new_c, c] = [y.cell[unit], before.cell[unit]];
    const { text, value } = stages[name];
    if (name === "cell") {
      const terms = named({ f: f[unit], c, i: i[unit], g: g[unit] });
      return { text, terms, computed: value(i[unit], f[unit], g[unit], c) };
    }
    const terms = named({ o: o[unit], "c'": new_c, c });
    return { text, terms, computed: value(o[unit], new_c, c) };
  }

  // The text with each term's symbol replaced by its value.
  function withValues(text, terms) {
    const values = new Map(terms.map(({ symbol, value }) => [symbol, value]));
    const longestFirst = [...values.keys()].sort((a, b) => b.length - a.length);
    if (!longestFirst.length) return text;
    const escaped = longestFirst.map((symbol) => symbol.replace(/[()]/g, "\\$&"));
    const pattern = new RegExp(`(?<![\\w'])(${escaped.join("|")})(?![\\w'])`, "g");
    return text.replace(pattern, (symbol) => {
      const number = format(values.get(symbol));
      return number.startsWith("−") ? `(${number})` : number;
    });
  }

  function format(value) {
    const size = Math.abs(value);
    const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
    return value.toFixed(digits).replace("-", "−");
  }

  function noteOf(held, unit) {
    const acting = held.filter((each) => (each.unit ?? unit) === unit);
    if (!acting.length) return "";
    const { type, value } = acting[acting.length - 1];
    return {
      gate: `held at ${value} by an intervention`,
      zero: "set to 0 by an intervention",
      freeze: "frozen by an intervention: it keeps its value before the step",
    }[type];
  }

  return { explain };
})();

if (typeof module === "object") module.exports = Equations;
