"use strict";

// The image as the networks see it, with a mark on what they read at the current step.
const Seen = (() => {
  const canvas = document.getElementById("seen");
  const mark = document.getElementById("seen-mark");

  function draw(pixels, { height, width }) {
    Colours.paintImage(canvas, pixels, height, width);
  }

  // Mark what the networks read at a step: a row, a column or a pixel.
  function setStep(step, { sequence, height, width, order }) {
    const pixel = order ? order[step] : step;
    const isPixel = sequence !== "rows" && sequence !== "columns";
    const row = isPixel ? Math.floor(pixel / width) : step;
    const column = isPixel ? pixel % width : step;
    const [top, tall] = sequence === "columns" ? [0, 1] : [row / height, 1 / height];
    const [left, wide] = sequence === "rows" ? [0, 1] : [column / width, 1 / width];
    const percent = (share) => `${100 * share}%`;
    Object.assign(mark.style, {
      top: percent(top),
      left: percent(left),
      height: percent(tall),
      width: percent(wide),
    });
  }

  return { draw, setStep };
})();
