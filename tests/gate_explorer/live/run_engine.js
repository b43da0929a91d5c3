// Runs the engine for the tests: every value of a result, image by image, as one Float32Array.
"use strict";

function valuesOf(Engine, result, withPrefixes) {
  const { model, cells, gradients } = result;
  const values = [...result.logits, ...gradients.input];
  cells.forEach((cell, index) => {
    for (const gate of model.gates) values.push(...cell.preactivations[gate]);
    for (const gate of model.gates) values.push(...cell.gates[gate]);
    for (const state of model.states) values.push(...cell.states[state]);
    for (const gate of model.gates) values.push(...gradients.cells[index].gates[gate]);
    for (const state of model.states) values.push(...gradients.cells[index].states[state]);
  });
  if (withPrefixes) {
    for (let t = 0; t < model.steps; t++) values.push(...Engine.probabilitiesAfter(result, t));
  }
  return values;
}

// job: {spec, images: [pixels, ...], interventions, prefixes}
function runJob(Engine, { spec, images, interventions, prefixes }) {
  const model = Engine.load(spec);
  let previous = null; // steps that are equal are taken from the image before
  const all = images.map((pixels) => {
    previous = Engine.run(model, pixels, { interventions, gradients: true, previous });
    return valuesOf(Engine, previous, prefixes);
  });
  return Float32Array.from(all.flat());
}

// In a browser: little-endian float32 in base64, for page.evaluate.
function runJobAsText(job) {
  const bytes = new Uint8Array(runJob(Engine, job).buffer);
  const parts = [];
  for (let k = 0; k < bytes.length; k += 8192) {
    parts.push(String.fromCharCode(...bytes.subarray(k, k + 8192)));
  }
  return btoa(parts.join(""));
}

// In Node: node run_engine.js ENGINE.js JOBS.json OUTPUT
if (typeof module === "object" && require.main === module) {
  const { readFileSync, writeFileSync } = require("node:fs");
  const [engine, jobs, output] = process.argv.slice(2);
  const all = JSON.parse(readFileSync(jobs, "utf8")).map((job) => runJob(require(engine), job));
  writeFileSync(output, Buffer.concat(all.map((values) => Buffer.from(values.buffer))));
}
