"use strict";

// The guide for a first visit: five steps, one sentence or two each, with a button that does it.
const Guide = (() => {
  const SEEN = "gate-explorer-guide-seen"; // in the browser's local storage
  const find = (id) => document.getElementById(id);
  let steps = [],
    at = 0;

  const FORGET_SHUT = { type: "gate", gate: "forget", value: 0 };

  // play() starts the playback; change(text, interventions) sets the interventions. hasForgetGate:
  // whether a network on the page is an LSTM.
  function start({ play, change, hasForgetGate }) {
    const unitOfTime = Texts.stepKind();
    steps = [
      {
        text:
          "Draw a digit in the square or choose a test image: the networks read it from the " +
          `start, one ${unitOfTime} at a time, and answer with one of the classes.`,
      },
      {
        text:
          "Press play and watch the pictures: a column is one unit of the network, a line is one " +
          `${unitOfTime} of the image.`,
        button: "Play",
        action: play,
      },
    ];
    if (hasForgetGate) {
      steps.push(
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
          action: () => change("Hold the forget gate shut", [FORGET_SHUT]),
        },
        {
          text: "Release it, and the memory is back; now try another experiment, or break a cell.",
          button: "Release",
          action: () => change("Release the forget gate", []),
        },
      );
    }
    find("guide-next").addEventListener("click", () => move(1));
    find("guide-back").addEventListener("click", () => move(-1));
    find("guide-close").addEventListener("click", close);
    find("guide-open").addEventListener("click", open);
    find("guide-do").addEventListener("click", () => steps[at].action());
    if (!seen()) open();
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
