"use strict";

// One picture of a network. The vertical axis is time, from the top; a column is one unit of a gate
// or a state, one class, or one pixel of the gradient with respect to the input.
class Panel {
  // name: "gradient", "probabilities", or a gate or a state. select(chosen, pin) is called when the
  // pointer or the keyboard is on a value; select(null) when the pointer leaves the panel.
  constructor(model, name, select) {
    Object.assign(this, { model, name, select, order: null, at: null, step: 0 });
    const template = document.getElementById("panel-template").content.cloneNode(true);
    this.element = template.firstElementChild;
    this.element.dataset.name = name;
    this.plot = this.element.querySelector(".plot");
    this.canvas = this.element.querySelector("canvas");
    this.frame = this.element.querySelector(".cell-mark");
    this.title = Texts.title(name, model.cell);
    // The pixels of an image that is read pixel by pixel: time runs along the lines.
    this.isImage = name === "gradient" && model.input_size === 1;
    this.plot.classList.toggle("image", this.isImage);
    [this.rows, this.columns] = this.shape();
    this.listen();
  }

  set title(text) {
    const { cell, steps } = this.model;
    const kind = Texts.stepKind();
    this.element.querySelector("figcaption").textContent = text;
    this.plot.setAttribute(
      "aria-label",
      `${Texts.cellName(cell)}, ${text}, ${steps} ${kind}s. ` +
        `Arrow keys select a value, Enter goes to its ${kind}.`,
    );
  }

  // "gradient", "probabilities", "gates" or "states"
  get kind() {
    if (this.name === "gradient" || this.name === "probabilities") return this.name;
    return this.model.gates.includes(this.name) ? "gates" : "states";
  }

  shape() {
    const { steps, height, width, input_size, class_names, hidden_size, proj_size } = this.model;
    if (this.isImage) return [height, width];
    if (this.name === "gradient") return [steps, input_size];
    if (this.name === "probabilities") return [steps, class_names.length];
    return [steps, this.name === "hidden" ? proj_size || hidden_size : hidden_size];
  }

  // --- drawing ---------------------------------------------------------------------------------

  // Draw values (rows x columns); before: those of the untouched run, to draw the difference, or
  // null. order: the unit of each column, or null. limit: of the colour scale of c.
  draw(values, before, order, limit) {
    this.order = order;
    const drawn = before ? values.map((value, index) => value - before[index]) : values;
    Colours.paint(this.canvas, drawn, this.rows, this.columns, {
      ...this.scale(Boolean(before), limit),
      order,
    });
    this.element.classList.toggle("difference", Boolean(before));
    this.canvas.classList.toggle("smooth", this.columns > 100 || this.rows > 200);
  }

  scale(isDifference, limit) {
    if (this.name === "cell") return { scale: "signed", low: -limit, high: limit };
    if (isDifference || this.name === "hidden" || this.name === "candidate") {
      return { scale: "signed", low: -1, high: 1 };
    }
    return { scale: this.name === "probabilities" ? "probability" : "gate", low: 0, high: 1 };
  }

  drawGradient({ input, class: winner }) {
    const values = this.isImage ? this.inImageOrder(input) : input;
    const high = values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1e-30);
    Colours.paint(this.canvas, values, this.rows, this.columns, {
      scale: "signed",
      low: -high,
      high,
    });
    this.title = `gradient of “${this.model.class_names[winner]}”`;
    if (!this.isImage) this.drawNorms(values);
  }

  inImageOrder(input) {
    const { order } = this.model;
    if (!order) return input;
    const values = new Float32Array(input.length);
    order.forEach((pixel, step) => (values[pixel] = input[step]));
    return values;
  }

  // The norm of the gradient with respect to each row, as bars next to the picture.
  drawNorms(values) {
    const LENGTH = 40; // of the longest bar, in pixels of the canvas
    const { rows, columns } = this;
    this.norms = Float32Array.from({ length: rows }, (_, row) =>
      Math.hypot(...values.subarray(row * columns, (row + 1) * columns)),
    );
    const largest = Math.max(...this.norms, 1e-30);
    const bars = new Float32Array(rows * LENGTH).fill(NaN);
    this.norms.forEach((norm, row) => {
      bars.fill(1, row * LENGTH, row * LENGTH + (norm / largest) * LENGTH);
    });
    const canvas = this.element.querySelector(".norms");
    canvas.hidden = false;
    Colours.paint(canvas, bars, rows, LENGTH, { scale: "probability", low: 0, high: 2 });
  }

  setStep(step) {
    this.step = step;
    if (!this.isImage) return;
    const pixel = this.model.order ? this.model.order[step] : step;
    this.plot.style.setProperty("--row", Math.floor(pixel / this.columns) / this.rows);
    this.plot.style.setProperty("--column", (pixel % this.columns) / this.columns);
  }

  // --- selecting a value -----------------------------------------------------------------------

  listen() {
    this.plot.addEventListener("pointermove", (event) => this.point(event, false));
    for (const end of ["pointerleave", "blur"]) {
      this.plot.addEventListener(end, () => this.select(null));
    }
    this.plot.addEventListener("click", (event) => this.point(event, true));
    this.plot.addEventListener("keydown", (event) => this.press(event));
  }

  point(event, pin) {
    const box = this.canvas.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * this.rows);
    const column = Math.floor(((event.clientX - box.left) / box.width) * this.columns);
    this.choose(row, column, pin);
  }

  press(event) {
    const arrows = {
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      Enter: [0, 0],
      " ": [0, 0],
    };
    if (!(event.key in arrows)) return;
    event.preventDefault();
    const [down, right] = arrows[event.key];
    const at = this.at ?? { row: this.step, column: 0 };
    this.choose(at.row + down, at.column + right, event.key === "Enter" || event.key === " ");
  }

  choose(row, column, pin) {
    const within = (index, count) => Math.max(0, Math.min(count - 1, index));
    this.at = { row: within(row, this.rows), column: within(column, this.columns) };
    this.select({ ...this.at, panel: this }, pin);
  }

  // The time step and the unit (or class, or pixel) of a selected value.
  place({ row, column }) {
    const pixel = row * this.columns + column;
    return {
      step: this.isImage ? (this.model.order?.indexOf(pixel) ?? pixel) : row,
      unit: this.order ? this.order[column] : column,
    };
  }

  // Frame the value in a row and a column; null removes the frame.
  mark(at) {
    this.frame.hidden = !at;
    if (!at) return;
    const width = this.canvas.offsetWidth / this.columns;
    const height = this.canvas.offsetHeight / this.rows;
    Object.assign(this.frame.style, {
      left: `${at.column * width}px`,
      top: `${at.row * height}px`,
      width: `${width}px`,
      height: `${height}px`,
    });
  }
}
