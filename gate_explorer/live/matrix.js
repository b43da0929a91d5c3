// Products of a weight with a vector.
//
// A weight is {values, rows, columns}, row by row in a Float32Array. Sums are in float64, which is
// JavaScript's number, and are rounded to float32 where they are stored.
"use strict";

const Matrix = (() => {
  function decodeBytes(base64) {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  }

  // The weight that base64 text holds as little-endian float32.
  function decode(base64, rows, columns) {
    const bytes = decodeBytes(base64);
    if (bytes.length !== 4 * rows * columns) {
      throw new RangeError(`a weight has ${bytes.length} bytes: expected 4 x ${rows} x ${columns}`);
    }
    const view = new DataView(bytes.buffer);
    const values = new Float32Array(rows * columns);
    for (let k = 0; k < values.length; k++) values[k] = view.getFloat32(4 * k, true);
    return { values, rows, columns };
  }

  // out[k] += (W x)[k], for as many rows of W, from `first` on, as `out` has elements.
  //
  // Four rows at a time share each element of x that is read, and their sums do not wait for one
  // another.
  function addProduct(W, x, out, first = 0) {
    const { values, columns } = W;
    const together = out.length - (out.length % 4);
    for (let k = 0; k < together; k += 4) {
      const row0 = (first + k) * columns;
      const [row1, row2, row3] = [row0 + columns, row0 + 2 * columns, row0 + 3 * columns];
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
      for (let j = 0; j < columns; j++) {
        s0 += values[row0 + j] * x[j];
        s1 += values[row1 + j] * x[j];
        s2 += values[row2 + j] * x[j];
        s3 += values[row3 + j] * x[j];
      }
      out[k] += s0;
      out[k + 1] += s1;
      out[k + 2] += s2;
      out[k + 3] += s3;
    }
    for (let k = together; k < out.length; k++) {
      let sum = 0;
      for (let j = 0; j < columns; j++) sum += values[(first + k) * columns + j] * x[j];
      out[k] += sum;
    }
  }

  // out[t, k] += (W x[t])[k], for the time steps from `from` up to and without `to`.
  //
  // Four time steps at a time share each element of W that is read from memory.
  function addProducts(W, x, out, from, to) {
    const { values, rows, columns } = W;
    const together = to - ((to - from) % 4);
    for (let t = from; t < together; t += 4) {
      const [x0, x1, x2, x3] = [0, 1, 2, 3].map((n) => at(x, t + n, columns));
      const [y0, y1, y2, y3] = [0, 1, 2, 3].map((n) => at(out, t + n, rows));
      for (let k = 0, row = 0; k < rows; k++, row += columns) {
        let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (let j = 0; j < columns; j++) {
          const w = values[row + j];
          s0 += w * x0[j];
          s1 += w * x1[j];
          s2 += w * x2[j];
          s3 += w * x3[j];
        }
        y0[k] += s0;
        y1[k] += s1;
        y2[k] += s2;
        y3[k] += s3;
      }
    }
    for (let t = together; t < to; t++) addProduct(W, at(x, t, columns), at(out, t, rows));
  }

  // out[j] += (W^T d)[j], where d belongs to the rows of W from `first` on.
  function addTransposedProduct(W, d, out, first = 0) {
    const { values, columns } = W;
    const even = d.length - (d.length % 4);
    for (let k = 0; k < even; k += 4) {
      const [d0, d1, d2, d3] = [d[k], d[k + 1], d[k + 2], d[k + 3]];
      const row0 = (first + k) * columns;
      const [row1, row2, row3] = [row0 + columns, row0 + 2 * columns, row0 + 3 * columns];
      for (let j = 0; j < columns; j++) {
        out[j] +=
          values[row0 + j] * d0 + values[row1 + j] * d1 +
          (values[row2 + j] * d2 + values[row3 + j] * d3);
      }
    }
    for (let k = even; k < d.length; k++) {
      const row = (first + k) * columns;
      for (let j = 0; j < columns; j++) out[j] += values[row + j] * d[k];
    }
  }

  // The part of `values` that belongs to time step t, `size` values each step; not a copy.
  function at(values, t, size) {
    return values.subarray(t * size, (t + 1) * size);
  }

  return { decodeBytes, decode, addProduct, addProducts, addTransposedProduct, at };
})();

if (typeof module === "object") module.exports = Matrix;
