// Times of the live page's engine: in a page, where `Engine` is global, or in Node.
"use strict";

function medianMilliseconds(repeats, work) {
  const times = [];
  for (let k = 0; k < repeats; k++) {
    const start = performance.now();
    work(k);
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[repeats >> 1];
}

// The median time in milliseconds of what a stroke of the pen can need.
function measure(Engine, spec, repeats) {
  const model = Engine.load(spec);
  const random = () => Array.from({ length: spec.height * spec.width }, () => 255 * Math.random());
  const image = random();
  const strokes = Array.from({ length: 8 }, (_, k) => {
    const changed = image.slice(); // another value in the middle of the image
    changed[changed.length / 2 + k] = 0;
    return changed;
  });
  const images = [...strokes.map(random)];
  for (const pixels of images) Engine.run(model, pixels, { gradients: true }); // compile it first
  let previous = Engine.run(model, image);
  return {
    "another image": medianMilliseconds(repeats, (k) => Engine.run(model, images[k % 8])),
    "another image, with gradients": medianMilliseconds(repeats, (k) =>
      Engine.run(model, images[k % 8], { gradients: true }),
    ),
    "one pixel in the middle": medianMilliseconds(repeats, (k) => {
      previous = Engine.run(model, strokes[k % 8], { previous });
    }),
  };
}

// node live_page.js ENGINE.js SPECS.json REPEATS
if (typeof module === "object") {
  const { readFileSync } = require("node:fs");
  const [engine, specs, repeats] = process.argv.slice(2);
  const found = JSON.parse(readFileSync(specs, "utf8")).map((spec) =>
    measure(require(engine), spec, Number(repeats)),
  );
  console.log(JSON.stringify(found));
}
