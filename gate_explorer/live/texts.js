"use strict";

// Names, symbols and captions of what the page shows.
const Texts = (() => {
  const CELL_NAMES = { rnn: "RNN", gru: "GRU", lstm: "LSTM" };

  const TITLES = {
    gradient: "gradient",
    probabilities: "class so far",
    hidden: "hidden state h",
    cell: "cell state c",
    forget: "forget gate f",
    input: "input gate i",
    output: "output gate o",
    update: "update gate z",
    reset: "reset gate r",
  };

  const CAPTIONS = {
    hidden: "What the next row, the next layer and the answer are computed from.",
    cell: "The LSTM's memory. It changes only by a product and a sum, so it can last.",
    forget: "How much of its memory c the unit keeps at this row: all at 1, nothing at 0.",
    input: "How much of its candidate the unit adds to its memory c.",
    output: "How much of tanh(c) the unit passes on as h.",
    update: "How much of its old h the unit keeps: all at 1; at 0 the candidate replaces it.",
    reset: "How much of the previous state enters the candidate.",
    candidate: "The new value that the unit computes from this row and the previous state.",
  };

  // The panels of gates and states besides h. An RNN's candidate is its h.
  const PANELS = {
    rnn: [],
    gru: ["update", "reset", "candidate"],
    lstm: ["cell", "forget", "input", "output", "candidate"],
  };

  const UPDATES = {
    rnn: {
      equations: ["h′ = tanh(W x + U h + b)"],
      text: "No gates: each row overwrites all of h, so the upper rows are soon forgotten.",
    },
    gru: {
      equations: ["h′ = (1 − z) ⊙ n + z ⊙ h"],
      text: "Where the update gate z is near 1, the unit keeps its h and ignores the row.",
    },
    lstm: { equations: ["c′ = f ⊙ c", "   + i ⊙ g", "h′ = o", "   ⊙ tanh(c′)"], text: "" },
  };

  const cellName = (cell) => CELL_NAMES[cell] ?? cell;

  function title(name, cell) {
    if (name === "candidate") return `candidate ${cell === "lstm" ? "g" : "n"}`;
    return TITLES[name] ?? name;
  }

  // A short text for an intervention, for example "forget gate at 0, unit 3".
  function intervention(each) {
    const unit = each.unit == null ? "" : `, unit ${each.unit}`;
    const from = each.from == null ? "" : ` from ${stepName(each.from)}`;
    const state = each.state ? title(each.state) : "";
    switch (each.type) {
      case "gate":
        return `${title(each.gate).replace(/ [a-z]$/, "")} at ${each.value}${unit}${from}`;
      case "zero":
        return `${state} at 0${unit}${from}`;
      case "freeze":
        return `${state} frozen${unit}${from}`;
      case "no_recurrence":
        return "no recurrent weights";
      case "cut":
        return `memory cut before ${stepName(each.step)}`;
      case "mistake":
        return `mistake: ${mistake(each.id)}`;
      default:
        return each.type;
    }
  }

  const mistake = (id) => id.replaceAll("-", " ");

  // What one step reads: "row 7" of 28, counted from 1 as a reader counts rows.
  let unitOfTime = "row";
  let drawn = "a digit";

  // image: of the page's data.
  function use({ sequence, dataset }) {
    unitOfTime = { rows: "row", columns: "column" }[sequence] ?? "pixel";
    drawn = { "fashion-mnist": "a garment", kmnist: "a character" }[dataset] ?? "a digit";
  }
  const whatToDraw = () => drawn;
  const stepName = (step) => `${unitOfTime} ${step + 1}`;
  const stepKind = () => unitOfTime;

  const percent = (share) => {
    const value = 100 * share;
    const isShort = value < 0.05 || value >= 10;
    return `${isShort ? Math.round(value) : value.toFixed(1)} %`;
  };
  const value = (number) => number.toFixed(Math.abs(number) < 10 ? 2 : 1).replace("-", "−");

  return {
    CAPTIONS,
    PANELS,
    UPDATES,
    cellName,
    title,
    intervention,
    mistake,
    use,
    whatToDraw,
    stepName,
    stepKind,
    percent,
    value,
  };
})();
