"use strict";

// Where a drawing comes from besides the pen: test images and picture files. Undo and clear.
const Sources = (() => {
  const find = (id) => document.getElementById(id);

  // image, samples: of the page's data.
  function start(image, samples) {
    for (const sample of samples) addSample(image, sample);
    find("undo").addEventListener("click", Drawing.undo);
    find("clear").addEventListener("click", Drawing.clear);
    find("picture").addEventListener("click", () => find("picture-file").click());
    find("picture-file").addEventListener("change", ({ target }) => {
      loadFirst(target.files, image);
      target.value = ""; // so that the same file can be selected again
    });
    find("pad").addEventListener("dragover", (event) => event.preventDefault());
    find("pad").addEventListener("drop", (event) => {
      event.preventDefault();
      loadFirst(event.dataTransfer.files, image);
    });
  }

  function addSample({ height, width, class_names }, { index, label, pixels: code }) {
    const button = document.createElement("button");
    const canvas = document.createElement("canvas");
    const pixels = Engine.bytes(code);
    const paint = () => Colours.paintImage(canvas, pixels, height, width);
    button.type = "button";
    button.setAttribute("aria-label", `test image ${index}: ${class_names[label]}`);
    button.append(canvas);
    button.addEventListener("click", () => Drawing.show(pixels));
    find("samples").append(button);
    paint();
    Colours.onChange(paint);
  }

  async function loadFirst([file], image) {
    find("picture-error").textContent = "";
    if (!file) return;
    try {
      await Picture.load(file, image);
    } catch (error) {
      find("picture-error").textContent = error.message;
    }
  }

  return { start };
})();
