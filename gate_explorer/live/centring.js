"use strict";

// Centre and scale a drawing as the images of the data set were.
//
// MNIST (LeCun et al. 1998): the bounding box of the ink is scaled to fit into 20 x 20 pixels, with
// antialiasing, and placed in 28 x 28 pixels so that the centre of mass is in the middle.
//
// Digits (Alpaydin & Kaynak 1998): a bitmap of 32 x 32 pixels, of which the digit fills 32 rows and
// at most 20 columns; strokes are made thicker or thinner; each pixel of the 8 x 8 image counts the
// ink in 4 x 4 pixels of the bitmap. The original programs also removed the slant; this does not.
const Centring = (() => {
  const INK = 0.1; // values above this belong to the bounding box
  // In MNIST the centre of mass is at the centre of pixel (14, 14), not at the middle of the image.
  const MNIST_OFFSET = 0.5;
  // Share of ink in the bitmap: that of 96 % of the images is within these limits.
  const MIN_INK = 0.25;
  const MAX_INK = 0.38;
  const MAX_PASSES = 3;
  const BITMAP = 32; // height and width of the bitmap of the digits, in pixels
  const BITMAP_WIDTH = 20; // a digit is at most so wide
  const BLOCK = 4;

  // ink: values 0 to 1, width x height, row by row. Returns outHeight x outWidth values 0 to 255.
  function centre(ink, width, height, outWidth, outHeight) {
    const box = boundingBox(ink, width, height);
    const pixels = new Uint8Array(outWidth * outHeight);
    if (!box) return pixels;
    const values =
      outWidth === BITMAP / BLOCK && outHeight === BITMAP / BLOCK
        ? likeDigits(ink, width, box)
        : likeMnist(ink, width, box, outWidth, outHeight);
    values.forEach((value, index) => (pixels[index] = Math.round(255 * Math.min(1, value))));
    return pixels;
  }

  function likeMnist(ink, width, box, outWidth, outHeight) {
    const room = Math.round((20 / 28) * Math.min(outWidth, outHeight));
    const small = fit(ink, width, box, room, room);
    const mass = centreOfMass(small);
    const left = clamp(Math.round(outWidth / 2 + MNIST_OFFSET - mass.x), 0, outWidth - small.width);
    const top = clamp(
      Math.round(outHeight / 2 + MNIST_OFFSET - mass.y),
      0,
      outHeight - small.height,
    );
    return placed(small, left, top, outWidth, outHeight);
  }

  function likeDigits(ink, width, box) {
    const small = fit(ink, width, box, BITMAP_WIDTH, BITMAP);
    const left = Math.round((BITMAP - small.width) / 2);
    const top = Math.round((BITMAP - small.height) / 2);
    const grey = placed(small, left, top, BITMAP, BITMAP);
    const bitmap = withStrokeWidth(Array.from(grey, (value) => (value > 0.5 ? 1 : 0)));
    const size = BITMAP / BLOCK;
    const counts = new Float32Array(size * size);
    bitmap.forEach((isInk, index) => {
      const row = Math.floor(index / BITMAP / BLOCK);
      const column = Math.floor((index % BITMAP) / BLOCK);
      counts[row * size + column] += isInk;
    });
    return counts.map((count) => count / (BLOCK * BLOCK));
  }

  // Dilate a bitmap while it has too little ink, or erode it while it has too much.
  function withStrokeWidth(bitmap) {
    for (let pass = 0; pass < MAX_PASSES; pass++) {
      const share = bitmap.reduce((sum, isInk) => sum + isInk, 0) / bitmap.length;
      if (share >= MIN_INK && share <= MAX_INK) break;
      bitmap = morphed(bitmap, share < MIN_INK ? Math.max : Math.min);
    }
    return bitmap;
  }

  // Each pixel becomes the maximum (dilation) or the minimum (erosion) of its 4 neighbours and it.
  function morphed(bitmap, extreme) {
    return bitmap.map((isInk, index) => {
      const x = index % BITMAP;
      const left = x > 0 ? bitmap[index - 1] : 0;
      const right = x < BITMAP - 1 ? bitmap[index + 1] : 0;
      const above = bitmap[index - BITMAP] ?? 0;
      const below = bitmap[index + BITMAP] ?? 0;
      return extreme(isInk, left, right, above, below);
    });
  }

  function boundingBox(ink, width, height) {
    let left = width,
      right = -1,
      top = height,
      bottom = -1;
    for (let y = 0, index = 0; y < height; y++) {
      for (let x = 0; x < width; x++, index++) {
        if (ink[index] <= INK) continue;
        if (x < left) left = x;
        if (x > right) right = x;
        if (y < top) top = y;
        bottom = y;
      }
    }
    return right < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 };
  }

  // Scale the ink in the box to the largest size within maxWidth x maxHeight: means over areas.
  function fit(ink, width, box, maxWidth, maxHeight) {
    const scale = Math.min(maxWidth / box.width, maxHeight / box.height);
    const small = {
      width: Math.max(1, Math.round(box.width * scale)),
      height: Math.max(1, Math.round(box.height * scale)),
    };
    const columns = overlaps(box.width, small.width),
      rows = overlaps(box.height, small.height);
    const half = new Float32Array(box.height * small.width); // scaled along x only
    for (let y = 0; y < box.height; y++) {
      const source = (box.top + y) * width + box.left,
        target = y * small.width;
      for (const { from, to, share } of columns) half[target + to] += ink[source + from] * share;
    }
    small.values = new Float32Array(small.width * small.height);
    for (const { from, to, share } of rows) {
      for (let x = 0; x < small.width; x++) {
        small.values[to * small.width + x] += half[from * small.width + x] * share;
      }
    }
    return small;
  }

  // Which of `size` source pixels lie in which of `outSize` target pixels, and the share of the
  // target's area that each one covers.
  function overlaps(size, outSize) {
    const found = [],
      ratio = size / outSize;
    for (let to = 0; to < outSize; to++) {
      const low = to * ratio,
        high = (to + 1) * ratio;
      for (let from = Math.floor(low); from < Math.min(size, Math.ceil(high - 1e-9)); from++) {
        const share = (Math.min(high, from + 1) - Math.max(low, from)) / ratio;
        if (share > 0) found.push({ from, to, share });
      }
    }
    return found;
  }

  function centreOfMass(small) {
    let total = 0,
      x = 0,
      y = 0;
    small.values.forEach((value, index) => {
      total += value;
      x += value * ((index % small.width) + 0.5);
      y += value * (Math.floor(index / small.width) + 0.5);
    });
    return total ? { x: x / total, y: y / total } : { x: small.width / 2, y: small.height / 2 };
  }

  function placed(small, left, top, width, height) {
    const values = new Float32Array(width * height);
    for (let y = 0; y < small.height; y++) {
      const row = small.values.subarray(y * small.width, (y + 1) * small.width);
      values.set(row, (top + y) * width + left);
    }
    return values;
  }

  function clamp(value, low, high) {
    return Math.max(low, Math.min(high, value));
  }

  return { centre };
})();
if (typeof module !== "undefined") module.exports = Centring;
