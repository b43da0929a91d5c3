"use strict";

// The guide for a first visit: at most five steps of one sentence each, some with a button.
const Guide = (() => {
  const SEEN = "gate-explorer-guide-seen"; // in the browser's local storage
  const find = (id) => document.getElementById(id);
  let steps = [],
    at = 0;

  // play() starts the playback; change(text, interventions) sets the interventions. cells: those of
  // the networks on the page.
  function start({ play, change, cells }) {
    const line = Texts.stepKind();
    steps = [
      {
        text:
          `Draw ${Texts.whatToDraw()} in the square or choose a test image: a network reads it ` +
          `from the start, one ${line} at a time, and answers with one of the classes.`,
      },
      {
        text:
          "Press play and watch the pictures: a column is one unit of the network, a line is one " +
          `${line} of the image.`,
        button: "Play",
        action: play,
      },
      ...(cells.includes("lstm") ? forgetGate(change) : []),
      ...(!cells.includes("lstm") && cells.includes("gru") ? updateGate(change) : []),
    ];
    find("guide-next").addEventListener("click", () => move(1));
    find("guide-back").addEventListener("click", () => move(-1));
    find("guide-close").addEventListener("click", close);
    find("guide-open").addEventListener("click", open);
    find("guide-do").addEventListener("click", () => steps[at].action());
    if (!seen()) open();
  }

  function forgetGate(change) {
    const shut = { type: "gate", gate: "forget", value: 0 };
    return [
      {
        text:
          "The LSTM's memory is the cell state c, and its forget gate decides at each line how " +
          "much of c every unit keeps: brown keeps it, green erases it.",
      },
      {
        text:
          "Hold the forget gate shut, and watch c and the answer of the LSTM: every line now " +
          "erases what the lines above have written.",
        button: "Hold it shut",
        action: () => change("Hold the forget gate shut", [shut]),
      },
      released(change),
    ];
  }

  function updateGate(change) {
    const shut = { type: "gate", gate: "update", value: 0 };
    return [
      {
        text:
          "The GRU's memory is its state h, and its update gate decides at each line how much of " +
          "h every unit keeps: brown keeps it, green replaces it.",
      },
      {
        text:
          "Hold the update gate at 0, and watch h and the answer of the GRU: every line now " +
          "replaces what the lines above have written.",
        button: "Hold it at 0",
        action: () => change("Hold the update gate at 0", [shut]),
      },
      released(change),
    ];
  }

  function released(change) {
    return {
      text: "Release it, and the memory is back; now try another experiment, or break a cell.",
      button: "Release",
      action: () => change("Release the gate", []),
    };
  }

  function open() {
    at = 0;
    find("guide").hidden = false;
    move(0);
  }

  function close() {
    find("guide").hidden = true;
    try {
      localStorage.setItem(SEEN, "1");
    } catch {
      // Storage can be blocked, for example in a frame. The guide then opens again next time.
    }
    find("guide-open").focus();
  }

  function seen() {
    try {
      return localStorage.getItem(SEEN) !== null;
    } catch {
      return false;
    }
  }

  function move(by) {
    if (at + by >= steps.length) return close();
    at = Math.max(0, at + by);
    const { text, button } = steps[at];
    find("guide-count").textContent = `${at + 1} of ${steps.length}`;
    find("guide-text").textContent = text;
    find("guide-do").hidden = !button;
    find("guide-do").textContent = button ?? "";
    find("guide-back").disabled = at === 0;
    find("guide-next").textContent = at + 1 === steps.length ? "Done" : "Next";
  }

  return { start };
})();
