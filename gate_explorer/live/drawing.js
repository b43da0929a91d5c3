"use strict";

// The square to draw in: strokes with mouse, finger, pen or arrow keys over an optional picture.
//
// Drawing.pixels() gives the image for the model: 0 to 255, row by row. An image that was selected
// or came with a link is given unchanged; what is drawn or loaded is centred by centring.js.
const Drawing = (() => {
  const SIZE = 280; // of the canvas, in its own pixels
  const PEN = 25; // width of a stroke: about 2.5 pixels of a digit that is 200 pixels high
  const KEY_STEP = SIZE / 28; // an arrow key moves the pen so far
  const MAX_UNDO = 200;

  const pad = document.getElementById("pad");
  const cursor = document.getElementById("pen");
  const context = pad.getContext("2d", { willReadFrequently: true });
  const keys = { x: SIZE / 2, y: SIZE / 2, down: false };
  let size, changed;
  // base: an image of the model's size, or null. picture: a canvas of the pad's size, or null.
  let current = { base: null, picture: null, strokes: [] };
  let history = [];
  let stroke = null; // the points of the stroke that is being drawn

  // size: {height, width} of the model's images. changed(finished) is called after each change.
  function start(imageSize, onChange) {
    size = { height: imageSize.height, width: imageSize.width };
    changed = onChange;
    pad.width = pad.height = SIZE;
    pad.addEventListener("pointerdown", begin);
    pad.addEventListener("pointermove", extend);
    for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, finish);
    pad.addEventListener("keydown", press);
    pad.addEventListener("focus", () => moveCursor(0, 0));
    pad.addEventListener("blur", () => {
      keys.down = false;
      showCursor();
    });
  }

  // --- strokes ---------------------------------------------------------------------------------

  function begin(event) {
    if (!event.isPrimary || event.button !== 0) return;
    pad.setPointerCapture(event.pointerId);
    beginAt(point(event));
  }

  function beginAt(at) {
    remember();
    stroke = [at];
    current = { ...current, strokes: [...current.strokes, stroke] };
    drawStroke([at, at]);
    changed(false);
  }

  function extend(event) {
    if (!stroke || !event.isPrimary || keys.down) return;
    const events = event.getCoalescedEvents?.() ?? [];
    const points = (events.length ? events : [event]).map(point);
    drawStroke([stroke.at(-1), ...points]);
    stroke.push(...points);
    changed(false);
  }

  function finish() {
    if (!stroke || keys.down) return;
    stroke = null;
    changed(true);
  }

  function point(event) {
    const box = pad.getBoundingClientRect();
    const at = (position, low, length) => ((position - low) / length) * SIZE;
    return { x: at(event.clientX, box.left, box.width), y: at(event.clientY, box.top, box.height) };
  }

  // One path for each segment, so that a stroke has the same pixels whether it is drawn while the
  // pen moves or again by redraw().
  function drawStroke(points) {
    context.lineWidth = PEN;
    context.lineCap = "round";
    for (let index = 1; index < points.length; index++) {
      context.beginPath();
      context.moveTo(points[index - 1].x, points[index - 1].y);
      context.lineTo(points[index].x, points[index].y);
      context.stroke();
    }
  }

  // --- the pen by keyboard -----------------------------------------------------------------------

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  function press(event) {
    const isCommand = event.ctrlKey || event.metaKey;
    if (event.altKey || (isCommand && event.key !== "z")) return;
    if (isCommand) undo();
    else if (event.key in ARROWS) moveCursor(...ARROWS[event.key]);
    else if (event.key === " ") togglePen();
    else if (event.key === "Escape") liftPen();
    else return;
    event.preventDefault();
  }

  function moveCursor(right, down) {
    keys.x = Math.max(0, Math.min(SIZE, keys.x + right * KEY_STEP));
    keys.y = Math.max(0, Math.min(SIZE, keys.y + down * KEY_STEP));
    if (keys.down && (right || down)) {
      drawStroke([stroke.at(-1), { x: keys.x, y: keys.y }]);
      stroke.push({ x: keys.x, y: keys.y });
      changed(false);
    }
    showCursor();
  }

  function togglePen() {
    if (keys.down) return liftPen();
    beginAt({ x: keys.x, y: keys.y });
    keys.down = true;
    showCursor();
  }

  function liftPen() {
    if (!keys.down) return;
    keys.down = false;
    finish();
    showCursor();
  }

  function showCursor() {
    cursor.style.left = `${(keys.x / SIZE) * 100}%`;
    cursor.style.top = `${(keys.y / SIZE) * 100}%`;
    cursor.classList.toggle("down", keys.down);
  }

  // --- images ------------------------------------------------------------------------------------

  // Show an image of the model's size: height x width values from 0 to 255.
  function show(pixels) {
    const isBlank = pixels.every((value) => value === 0);
    const base = isBlank ? null : Uint8Array.from(pixels);
    replace({ base, picture: null, strokes: [] });
  }

  // Show a canvas of SIZE x SIZE whose alpha channel is the ink.
  function showPicture(picture) {
    replace({ base: null, picture, strokes: [] });
  }

  function clear() {
    if (!isEmpty()) replace({ base: null, picture: null, strokes: [] });
  }

  function undo() {
    if (!history.length) return;
    current = history.pop();
    redraw();
    changed(true);
  }

  function replace(next) {
    remember();
    current = next;
    redraw();
    changed(true);
  }

  function remember() {
    liftPen();
    history = [...history.slice(1 - MAX_UNDO), current];
  }

  function redraw() {
    stroke = null;
    context.clearRect(0, 0, SIZE, SIZE);
    if (current.base) context.drawImage(alphaImage(current.base), 0, 0, SIZE, SIZE);
    if (current.picture) context.drawImage(current.picture, 0, 0);
    for (const points of current.strokes) drawStroke([points[0], ...points]);
  }

  function alphaImage(pixels) {
    const canvas = Object.assign(document.createElement("canvas"), size);
    const image = new ImageData(size.width, size.height);
    pixels.forEach((value, index) => (image.data[4 * index + 3] = value));
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  function pixels() {
    if (current.base && !current.strokes.length) return current.base;
    if (isEmpty()) return new Uint8Array(size.width * size.height);
    const { data } = context.getImageData(0, 0, SIZE, SIZE);
    const ink = new Float32Array(SIZE * SIZE);
    for (let index = 0; index < ink.length; index++) ink[index] = data[4 * index + 3] / 255;
    return Centring.centre(ink, SIZE, SIZE, size.width, size.height);
  }

  function isEmpty() {
    return !current.base && !current.picture && !current.strokes.length;
  }

  return { start, show, showPicture, clear, undo, pixels, isEmpty, SIZE };
})();
