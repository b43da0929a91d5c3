"use strict";

// Colour scales, and how values become the pixels of a canvas. Each scale has colours for a light
// and for a dark page; they are evenly spaced from the lowest to the highest value.
const Colours = (() => {
  const SCALES = {
    gate: {
      light: ["#01665e", "#80cdc1", "#f5f5f5", "#dfc27d", "#8c510a"],
      dark: ["#3ec9b4", "#1d655c", "#20252b", "#83601f", "#eab04f"],
    },
    signed: {
      light: ["#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b"],
      dark: ["#6cb4f5", "#27527e", "#20252b", "#8b3b33", "#ff8a78"],
    },
    probability: {
      light: ["#ffffff", "#c7b7e2", "#4a1486"],
      dark: ["#20252b", "#5f4c92", "#d3c2ff"],
    },
    ink: { light: ["#ffffff", "#111111"], dark: ["#14171a", "#f4f4f4"] },
  };
  const LEVELS = 256;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const tables = new Map(); // "gate light" -> LEVELS colours, each as one number for an ImageData

  function colours(name) {
    return SCALES[name][dark.matches ? "dark" : "light"];
  }

  function table(name) {
    const key = `${name} ${dark.matches}`;
    if (!tables.has(key)) tables.set(key, interpolate(colours(name).map(rgb)));
    return tables.get(key);
  }

  function interpolate(stops) {
    const levels = new Uint32Array(LEVELS),
      bytes = new Uint8Array(levels.buffer);
    for (let level = 0; level < LEVELS; level++) {
      const position = (level / (LEVELS - 1)) * (stops.length - 1);
      const first = Math.min(stops.length - 2, Math.floor(position)),
        share = position - first;
      for (let channel = 0; channel < 3; channel++) {
        const [low, high] = [stops[first][channel], stops[first + 1][channel]];
        bytes[4 * level + channel] = Math.round(low + share * (high - low));
      }
      bytes[4 * level + 3] = 255;
    }
    return levels;
  }

  function rgb(hex) {
    return [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
  }

  // Draw rows x columns values, `low` to `high`. Column k shows column order[k] of the values.
  // NaN is left transparent.
  function paint(canvas, values, rows, columns, { scale, low, high, order = null }) {
    if (canvas.width !== columns || canvas.height !== rows) {
      canvas.width = columns;
      canvas.height = rows;
      canvas.image = null;
    }
    const context = canvas.getContext("2d");
    canvas.image ||= context.createImageData(columns, rows);
    const pixels = new Uint32Array(canvas.image.data.buffer),
      levels = table(scale);
    const factor = (LEVELS - 1) / (high - low);
    for (let row = 0, pixel = 0; row < rows; row++) {
      const start = row * columns;
      for (let k = 0; k < columns; k++, pixel++) {
        const level = (values[start + (order ? order[k] : k)] - low) * factor + 0.5;
        pixels[pixel] = level !== level ? 0 : levels[Math.max(0, Math.min(LEVELS - 1, level)) | 0];
      }
    }
    context.putImageData(canvas.image, 0, 0);
  }

  // Draw an image: height x width values from 0 (background) to 255 (ink).
  function paintImage(canvas, pixels, height, width) {
    paint(canvas, pixels, height, width, { scale: "ink", low: 0, high: 255 });
  }

  function gradient(name) {
    return `linear-gradient(to right, ${colours(name).join(", ")})`;
  }

  // Call `listener` when the page changes between light and dark.
  function onChange(listener) {
    dark.addEventListener("change", listener);
  }

  return { paint, paintImage, gradient, onChange };
})();
