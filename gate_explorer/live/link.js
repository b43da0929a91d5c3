"use strict";

// A link that holds the drawing, the interventions and the step, in the fragment of the address:
// #d=<drawing>&i=<interventions as JSON>&t=<step>. The fragment is not sent to a server.
const Link = (() => {
  const MAX_RUN = 255; // of equal values, in the code of a drawing

  // The image as text: (value, how often) pairs of bytes, in URL-safe base64.
  function encode(pixels) {
    const bytes = [];
    for (let index = 0; index < pixels.length;) {
      let length = 1;
      while (length < MAX_RUN && pixels[index + length] === pixels[index]) length++;
      bytes.push(pixels[index], length);
      index += length;
    }
    return btoa(String.fromCharCode(...bytes))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replace(/=+$/, "");
  }

  // The image of a text, or null if it is not the code of an image with `size` pixels.
  function decode(text, size) {
    try {
      const bytes = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
      const pixels = [];
      for (let index = 0; index + 1 < bytes.length && pixels.length <= size; index += 2) {
        for (let k = bytes.charCodeAt(index + 1); k > 0; k--) pixels.push(bytes.charCodeAt(index));
      }
      return pixels.length === size ? Uint8Array.from(pixels) : null;
    } catch {
      return null; // not base64
    }
  }

  // state: {pixels, interventions, step: or null for the last}
  function write({ pixels, interventions, step }) {
    const fields = new URLSearchParams();
    fields.set("d", encode(pixels));
    if (interventions.length) fields.set("i", JSON.stringify(interventions));
    if (step !== null) fields.set("t", step);
    return fields.toString();
  }

  // What the fragment holds: {pixels, interventions, step}; null for what is missing or malformed.
  function read(fragment, size) {
    const fields = new URLSearchParams(fragment.replace(/^#/, ""));
    const step = Number.parseInt(fields.get("t"), 10);
    return {
      pixels: fields.has("d") ? decode(fields.get("d"), size) : null,
      interventions: parsed(fields.get("i")),
      step: Number.isInteger(step) && step >= 0 ? step : null,
    };
  }

  function parsed(text) {
    try {
      return JSON.parse(text);
    } catch {
      return null;
    }
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return false; // no permission, or a page that is not trusted
    }
  }

  return { write, read, copy };
})();
