"use strict";

// One network of the page: its answer at the current step, and its panels.
class NetworkView {
  // model: as Engine.load returns it; index: its place on the page. cellScale: limit of the colour
  // scale of c. select({panel, view, row, column}, pin) is called for a value of a panel.
  constructor(model, index, cellScale, select) {
    Object.assign(this, { model, index, cellScale, shown: null, orders: null, step: 0 });
    this.results = new Map(); // of the last update, see page.js
    this.select = (chosen, pin) => select(chosen && { ...chosen, view: this }, pin);
    this.cell = (model.num_layers - 1) * model.directions; // the last layer, forward
    const template = document.getElementById("network-template").content.cloneNode(true);
    this.root = template.querySelector(".network");
    this.name = Texts.cellName(model.cell);
    this.build();
    this.buildPanels();
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  // --- building --------------------------------------------------------------------------------

  build() {
    const { model } = this;
    const heading = this.find("h2");
    heading.textContent = this.name;
    heading.id = `network-${this.index}`;
    this.root.setAttribute("aria-labelledby", heading.id);
    this.find(".about").textContent = this.about();
    this.fillMenu(this.find("select"));
    this.bars = model.class_names.map((name) => this.addBar(name));
    this.summary = document.createElement("span"); // the answer next to the drawing, on a phone
    document.getElementById("answers").append(this.summary);
  }

  about() {
    const { num_layers, hidden_size, directions, accuracy } = this.model;
    const size = `${num_layers} × ${hidden_size} units${directions > 1 ? ", two directions" : ""}`;
    if (!accuracy) return size;
    return `${size}, ${(100 * accuracy).toFixed(1)} % of the test images right`;
  }

  fillMenu(menu) {
    const count = this.model.num_layers * this.model.directions;
    menu.hidden = count < 2;
    menu.setAttribute("aria-label", `Layer of the ${this.name} that is shown`);
    for (let cell = 0; cell < count; cell++) {
      menu.add(new Option(this.cellLabel(cell), cell, false, cell === this.cell));
    }
    menu.addEventListener("change", () => {
      this.cell = Number(menu.value);
      this.select(null, true);
      this.buildPanels();
      this.draw(this.shown);
      this.setStep(this.step);
    });
  }

  cellLabel(cell) {
    const { directions } = this.model;
    const layer = `layer ${Math.floor(cell / directions)}`;
    return directions < 2 ? layer : `${layer}, ${cell % 2 ? "reverse" : "forward"}`;
  }

  addBar(name) {
    const bar = document.createElement("div");
    bar.innerHTML = "<span class='column'><i></i><b></b></span><span class='class'></span>";
    bar.title = name;
    bar.lastChild.textContent = name.slice(0, 2);
    this.find(".bars").append(bar);
    return bar;
  }

  buildPanels() {
    const { cell } = this.model;
    const names = ["gradient", "probabilities", "hidden", ...Texts.PANELS[cell]];
    this.panels = names.map((name) => new Panel(this.model, name, this.select));
    const note = document.createElement("div");
    const { equations, text } = Texts.UPDATES[cell];
    note.className = text ? "update wide" : "update";
    const lines = equations.map((line) =>
      Object.assign(document.createElement("code"), { textContent: line }),
    );
    note.append(...lines, text);
    this.find(".panels").replaceChildren(...this.panels.map(({ element }) => element), note);
  }

  // --- drawing ---------------------------------------------------------------------------------

  // shown: {result, untouched: the run without interventions or null, gradients: or null,
  //         difference: whether to draw the difference, sort: whether to sort the units again}
  draw(shown) {
    if (shown.sort || !this.orders) this.orders = sortedUnits(shown.untouched ?? shown.result);
    this.shown = shown;
    for (const panel of this.panels.slice(1)) this.drawPanel(panel);
    if (shown.gradients) this.panels[0].drawGradient(shown.gradients);
    this.drawAnswer();
  }

  valuesOf(result, { kind, name }) {
    return kind === "probabilities" ? result.probabilities : result.cells[this.cell][kind][name];
  }

  drawPanel(panel) {
    const { result, untouched, difference } = this.shown;
    const before = difference && untouched ? this.valuesOf(untouched, panel) : null;
    const order = this.orders[this.cell].get(panel.columns);
    const isUnits = panel.kind === "gates" || panel.kind === "states";
    panel.draw(this.valuesOf(result, panel), before, isUnits ? order : null, this.cellScale);
  }

  // Compute and draw what draw() leaves out, for about `milliseconds`; returns whether it is
  // complete: the gradients, and in two directions the probabilities of all steps but the last.
  complete(milliseconds) {
    const end = performance.now() + milliseconds;
    const { result, untouched } = this.shown;
    this.shown.gradients ??= Engine.gradients(result);
    this.panels[0].drawGradient(this.shown.gradients);
    const runs = untouched ? [result, untouched] : [result];
    const isComplete = runs.every((run) => fillProbabilities(run, this.bars.length, end));
    if (this.model.directions > 1) this.drawPanel(this.panels[1]);
    return isComplete;
  }

  setStep(step) {
    this.step = step;
    for (const panel of this.panels) panel.setStep(step);
    if (this.shown) this.drawAnswer();
  }

  // --- the answer ------------------------------------------------------------------------------

  drawAnswer() {
    const { result, untouched } = this.shown;
    const now = this.probabilitiesAt(result, this.step);
    const before = untouched && this.probabilitiesAt(untouched, this.step);
    const winner = largestIndex(now);
    const was = before && largestIndex(before);
    this.answer = { winner, share: now[winner], was, shareBefore: before?.[was] };
    this.bars.forEach((bar, index) => {
      bar.style.setProperty("--now", now[index]);
      bar.style.setProperty("--was", before ? before[index] : 0);
      bar.classList.toggle("winner", index === winner);
    });
    this.root.classList.toggle("touched", Boolean(untouched));
    this.root.classList.toggle("changed", Boolean(untouched) && winner !== was);
    this.writeAnswer(now);
  }

  writeAnswer(now) {
    const { winner, share, was, shareBefore } = this.answer;
    const names = this.model.class_names;
    this.find(".winner-name").textContent = names[winner];
    this.find(".winner-share").textContent = Texts.percent(share);
    this.find(".was").textContent =
      was === null ? "" : `untouched: ${names[was]}, ${Texts.percent(shareBefore)}`;
    const shares = names.map((name, index) => `${name} ${Texts.percent(now[index])}`);
    this.find(".bars").setAttribute("aria-label", `Class probabilities: ${shares.join(", ")}`);
    const element = (tag, text) =>
      Object.assign(document.createElement(tag), { textContent: text });
    this.summary.replaceChildren(`${this.name} `, element("b", names[winner]));
    this.summary.append(` ${Texts.percent(share)} `);
    if (was !== null && was !== winner) this.summary.append(element("s", names[was]));
  }

  probabilitiesAt(result, step) {
    const classes = this.bars.length;
    const row = result.probabilities.subarray(step * classes, (step + 1) * classes);
    return Number.isNaN(row[0]) ? Engine.probabilitiesAfter(result, step) : row;
  }

  // Frame the selected value; null removes the frame.
  mark(chosen) {
    for (const panel of this.panels) panel.mark(chosen?.panel === panel ? chosen : null);
  }
}

// Compute the missing rows of result.probabilities until `end`; returns whether none is missing.
function fillProbabilities(result, classes, end) {
  const { probabilities } = result;
  for (let step = 0; step < probabilities.length / classes; step++) {
    if (!Number.isNaN(probabilities[step * classes])) continue;
    if (performance.now() > end) return false;
    probabilities.set(Engine.probabilitiesAfter(result, step), step * classes);
  }
  return true;
}

// For each layer and direction: number of units -> the units in the order of the time step at which
// their magnitude is largest, as in the recorded page.
function sortedUnits({ cells, model }) {
  return cells.map(({ states }) => {
    const orders = new Map();
    for (const values of Object.values(states)) {
      const units = values.length / model.steps;
      if (!orders.has(units)) orders.set(units, peakOrder(values, model.steps, units));
    }
    return orders;
  });
}

function peakOrder(values, steps, units) {
  const peaks = new Int32Array(units);
  const largest = new Float32Array(units).fill(-1);
  for (let step = 0, index = 0; step < steps; step++) {
    for (let unit = 0; unit < units; unit++, index++) {
      const magnitude = Math.abs(values[index]);
      if (magnitude <= largest[unit]) continue;
      largest[unit] = magnitude;
      peaks[unit] = step;
    }
  }
  return Array.from(peaks.keys()).sort((a, b) => peaks[a] - peaks[b] || a - b);
}

function largestIndex(values) {
  return values.indexOf(values.reduce((a, b) => Math.max(a, b)));
}
