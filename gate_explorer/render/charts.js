"use strict";

// Draws the panels: a heatmap on a canvas or lines as SVG, with ticks, and the value under the
// pointer. The data of a chart is that of chart_data.py. Sizes and margins are in page.css; nothing
// is drawn again when the window changes its size.
const Charts = (() => {
  const LEVELS = 256; // colours of a scale
  const SVG = "http://www.w3.org/2000/svg";

  // Draw `data` into `chart`, in place of what it shows.
  function draw(chart, data) {
    const area = element("div", "area");
    const hover = element("div", "hover");
    hover.hidden = true;
    area.append(data.lines ? lines(data) : heatmap(data));
    area.addEventListener("pointermove", (event) => showHover(event, area, hover, data));
    area.addEventListener("pointerleave", () => (hover.hidden = true));
    chart.replaceChildren(area, ...rowTicks(data), ...columnTicks(data), hover);
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", data.title);
  }

  function element(name, className, text = "") {
    const made = document.createElement(name);
    made.className = className;
    made.textContent = text;
    return made;
  }

  // Little-endian float32 in base64.
  function decode(text) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    return Float32Array.from({ length: bytes.length / 4 }, (_, k) => view.getFloat32(4 * k, true));
  }

  // --- heatmaps --------------------------------------------------------------------------------

  function heatmap(data) {
    const canvas = element("canvas", "");
    const values = decode(data.values);
    canvas.height = data.rows.labels.length;
    canvas.width = data.columns.length;
    canvas.values = values;
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    const colours = colourTable(data.colours);
    values.forEach((value, k) => {
      const level = Math.round(((value - data.low) / (data.high - data.low)) * (LEVELS - 1));
      if (Number.isNaN(level)) return; // transparent
      image.data.set(colours[Math.max(0, Math.min(LEVELS - 1, level))], 4 * k);
    });
    context.putImageData(image, 0, 0);
    return canvas;
  }

  // [red, green, blue, alpha] for each level between the colours, which are evenly spaced.
  function colourTable(colours) {
    const channel = (hex, at) => parseInt(hex.slice(at, at + 2), 16);
    const channels = colours.map((hex) => [1, 3, 5].map((at) => channel(hex, at)));
    return Array.from({ length: LEVELS }, (_, level) => {
      const position = (level / (LEVELS - 1)) * (colours.length - 1);
      const below = Math.min(Math.floor(position), colours.length - 2);
      const share = position - below;
      const mixed = channels[below].map((c, n) => c + share * (channels[below + 1][n] - c));
      return [...mixed, 255];
    });
  }

  // --- lines -----------------------------------------------------------------------------------

  function lines(data) {
    const drawing = document.createElementNS(SVG, "svg");
    drawing.setAttribute("viewBox", "0 0 1 1");
    drawing.setAttribute("preserveAspectRatio", "none");
    for (const [position] of data.ticks) {
      drawing.append(polyline(`${position},0 ${position},1`, { stroke: "#e5e5e5" }));
    }
    const count = data.rows.labels.length;
    for (const { colour, dashed, positions } of data.lines) {
      const points = [...decode(positions)].flatMap((x, row) =>
        Number.isFinite(x) ? [`${x},${(row + 0.5) / count}`] : [],
      );
      const style = { stroke: colour, "stroke-width": 1.8 };
      if (dashed) style["stroke-dasharray"] = "2 3";
      drawing.append(polyline(points.join(" "), style));
    }
    return drawing;
  }

  function polyline(points, style) {
    const line = document.createElementNS(SVG, "polyline");
    const fixed = { points, fill: "none", "vector-effect": "non-scaling-stroke" };
    const attributes = Object.entries({ ...fixed, ...style });
    attributes.forEach(([name, value]) => line.setAttribute(name, value));
    return line;
  }

  // --- axes ------------------------------------------------------------------------------------

  function rowTicks({ rows }) {
    return rows.ticks.map((row) => {
      const tick = element("span", "ytick", rows.labels[row]);
      tick.style.setProperty("--at", (row + 0.5) / rows.labels.length);
      return tick;
    });
  }

  function columnTicks({ ticks, upright, axisTitle }) {
    const made = ticks.map(([position, label]) => {
      const [text, exponent] = [label].flat();
      const tick = element("span", upright ? "xtick" : "xtick vertical", text);
      if (exponent) tick.append(element("sup", "", exponent));
      tick.style.setProperty("--at", position);
      return tick;
    });
    return [...made, element("span", "axis-title", axisTitle)];
  }

  // --- the value under the pointer ---------------------------------------------------------------

  function showHover(event, area, hover, data) {
    const box = area.getBoundingClientRect();
    const share = (position, size) => Math.max(0, Math.min(0.999999, position / size));
    const count = data.rows.labels.length;
    const row = Math.floor(share(event.clientY - box.top, box.height) * count);
    const across = share(event.clientX - box.left, box.width);
    const texts = [`${data.rows.kind} ${data.rows.labels[row]}`];
    if (data.lines) {
      for (const { name, values } of data.lines) {
        texts.push(`${name} ${shown(decode(values)[row], data)}`);
      }
    } else {
      const column = Math.floor(across * data.columns.length);
      const value = area.firstElementChild.values[row * data.columns.length + column];
      texts.unshift(`${data.columnKind} ${data.columns[column]}`);
      texts.push(`${data.valueName} ${value.toFixed(3)}`);
    }
    hover.replaceChildren(...texts.map((text) => element("span", "", text)));
    hover.hidden = false;
    hover.style.top = `${event.clientY - box.top + 14}px`;
    hover.style.left = `${Math.min(across * box.width, box.width - hover.offsetWidth)}px`;
  }

  function shown(value, { log }) {
    return log ? value.toExponential(2) : `${Math.round(100 * Math.abs(value))} %`;
  }

  return { draw };
})();
