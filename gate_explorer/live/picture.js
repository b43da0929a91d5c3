"use strict";

// Load a picture file as a drawing. Dark ink on bright paper and bright ink on a dark ground both
// work: the ground is the median of the picture's border.
const Picture = (() => {
  const MAX_SIDE = 1024; // a larger picture is scaled down before it is read
  const NOISE = 0.25; // differences from the ground below this share of the largest are no ink

  // Read the file and show it. Throws an Error with a message for the user.
  async function load(file, imageSize) {
    const bitmap = await createImageBitmap(file).catch(() => {
      throw new Error(`${file.name || "The file"} is not a picture that this browser can read.`);
    });
    const { ink, width, height } = readInk(bitmap);
    if (!ink.some((value) => value > 0)) {
      throw new Error(
        `${file.name} has only one colour: a digit is darker or brighter than its ground.`,
      );
    }
    if (width === imageSize.width && height === imageSize.height) {
      Drawing.show(ink.map((value) => Math.round(255 * value))); // already as the model reads it
    } else {
      Drawing.showPicture(fitted(ink, width, height));
    }
  }

  function readInk(bitmap) {
    const scale = Math.min(1, MAX_SIDE / Math.max(bitmap.width, bitmap.height));
    const width = Math.max(1, Math.round(bitmap.width * scale));
    const height = Math.max(1, Math.round(bitmap.height * scale));
    const context = newContext(width, height);
    context.fillStyle = "#fff"; // the ground of a picture with transparent parts
    context.fillRect(0, 0, width, height);
    context.drawImage(bitmap, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const grey = new Float32Array(width * height);
    for (let index = 0; index < grey.length; index++) {
      const [red, green, blue] = data.subarray(4 * index, 4 * index + 3);
      grey[index] = 0.299 * red + 0.587 * green + 0.114 * blue;
    }
    return { ink: inkOf(grey, width, height), width, height };
  }

  function inkOf(grey, width, height) {
    const ground = borderMedian(grey, width, height);
    const sign = ground > 127.5 ? -1 : 1;
    const ink = grey.map((value) => Math.max(0, sign * (value - ground)));
    const largest = ink.reduce((a, b) => Math.max(a, b), 1);
    const exact = ground === 0 || ground === 255; // a picture without noise keeps its grey levels
    if (exact) return ink.map((value) => value / 255);
    return ink.map((value) => (value < NOISE * largest ? 0 : Math.min(1, (1.2 * value) / largest)));
  }

  function borderMedian(grey, width, height) {
    const border = [];
    for (let x = 0; x < width; x++) border.push(grey[x], grey[(height - 1) * width + x]);
    for (let y = 0; y < height; y++) border.push(grey[y * width], grey[y * width + width - 1]);
    return border.sort((a, b) => a - b)[border.length >> 1];
  }

  // The ink in the alpha channel of a square canvas, as large as fits.
  function fitted(ink, width, height) {
    const source = newContext(width, height),
      image = source.createImageData(width, height);
    ink.forEach((value, index) => (image.data[4 * index + 3] = Math.round(255 * value)));
    source.putImageData(image, 0, 0);
    const target = newContext(Drawing.SIZE, Drawing.SIZE);
    const scale = Drawing.SIZE / Math.max(width, height);
    const [w, h] = [width * scale, height * scale];
    target.imageSmoothingQuality = "high";
    target.drawImage(source.canvas, (Drawing.SIZE - w) / 2, (Drawing.SIZE - h) / 2, w, h);
    return target.canvas;
  }

  function newContext(width, height) {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    return canvas.getContext("2d", { willReadFrequently: true });
  }

  return { load };
})();
