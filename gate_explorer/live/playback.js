"use strict";

// The step that the page shows: slider, play, pause, one step forward or back.
const Playback = (() => {
  const MILLISECONDS = 140; // per row while playing
  const MAX_MOVES = 60; // a long sequence is played in larger moves
  const find = (id) => document.getElementById(id);
  let steps,
    changed,
    timer = null;

  // changed(step) is called after each move.
  function start(numSteps, onChange) {
    [steps, changed] = [numSteps, onChange];
    find("step").max = steps - 1;
    find("step").addEventListener("input", () => {
      pause();
      moveTo(Number(find("step").value));
    });
    find("play").addEventListener("click", () => (timer === null ? play() : pause()));
    find("back").addEventListener("click", () => moveBy(-1));
    find("forward").addEventListener("click", () => moveBy(1));
    moveTo(steps - 1);
  }

  const step = () => Number(find("step").value);

  function moveTo(target) {
    const at = Math.max(0, Math.min(steps - 1, target));
    find("step").value = at;
    const kind = Texts.stepKind();
    find("step").setAttribute("aria-valuetext", `${kind} ${at + 1} of ${steps}`);
    find("step-name").textContent = `${kind} ${at + 1} of ${steps}`;
    document.body.style.setProperty("--step", at);
    changed(at);
  }

  function moveBy(count) {
    pause();
    moveTo(step() + count);
  }

  function play() {
    if (timer !== null) return;
    if (step() >= steps - 1) moveTo(0);
    const count = Math.ceil(steps / MAX_MOVES);
    timer = setInterval(() => {
      moveTo(step() + count);
      if (step() >= steps - 1) pause();
    }, MILLISECONDS);
    showState();
  }

  function pause() {
    clearInterval(timer);
    timer = null;
    showState();
  }

  function showState() {
    find("play").textContent = timer === null ? "▶ Play" : "❚❚ Pause";
  }

  return { start, step, moveTo, play, pause };
})();
