"use strict";

// The page: a drawing, the networks that read it, and the interventions. After each change every
// network runs once and its panels are drawn. What is slower or less urgent (gradients, the link,
// the text for screen readers) follows when nothing has changed for a moment.
(() => {
  const QUIET = 200; // milliseconds without a change
  const SLICE = 12; // milliseconds for each network, between two frames
  const FIRST_SAMPLE = 7; // of the digits a 7: its answer needs the memory of the upper rows
  const find = (id) => document.getElementById(id);
  const { data, models } = window.explorer;
  const { height, width } = data.image;
  const first = models.find(Boolean); // all networks of a page read the same sequence

  let pixels = new Uint8Array(height * width); // what the networks read
  let interventions = [];
  let pointed = null; // {view, panel, row, column}: the value under the pointer
  let pinned = null; // the value that was clicked
  let views = [];
  let frame = null; // of requestAnimationFrame
  let timer = null; // of updateRest
  let sort = true; // whether the units are sorted again at the next update

  function start() {
    addUnsupported();
    if (!first) return;
    Texts.use(data.image);
    find("pad-hint").textContent = `Draw ${Texts.whatToDraw()} here`;
    document.body.style.setProperty("--steps", first.steps);
    views = models.flatMap((model, index) =>
      model ? [new NetworkView(model, index, cellScale(model), select)] : [],
    );
    find("networks").prepend(...views.map(({ root }) => root));
    find("networks").style.setProperty("--networks", views.length);
    find("networks").classList.toggle("single", views.length === 1);
    addLegends();
    startControls();
    find("difference").addEventListener("change", update);
    find("copy-link").addEventListener("click", copyLink);
    addEventListener("keydown", (event) => event.key === "Escape" && unpin());
    addEventListener("hashchange", followLink);
    Colours.onChange(update);
    const sample = data.samples[FIRST_SAMPLE] ?? data.samples[0];
    Drawing.show(Engine.bytes(sample.pixels));
    followLink();
  }

  function startControls() {
    Drawing.start(data.image, (isFinished) => {
      sort ||= isFinished; // in the middle of a stroke the columns keep their places
      if (isFinished) unpin();
      frame ??= requestAnimationFrame(update);
    });
    Sources.start(data.image, data.samples);
    Predict.start();
    Controls.start({
      models,
      mistakes: data.mistakes,
      getStep: Playback.step,
      change: changeInterventions,
    });
    Controls.render(interventions);
    update();
    Playback.start(first.steps, (step) => {
      Seen.setStep(step, first);
      for (const view of views) view.setStep(step);
      scheduleRest();
    });
    Guide.start({
      cells: views.map(({ model }) => model.cell),
      play: Playback.play,
      change: (text, add) => changeInterventions(add.reduce(Interventions.added, []), text),
    });
  }

  // --- running the networks --------------------------------------------------------------------

  function update() {
    cancelAnimationFrame(frame);
    frame = null;
    performance.clearMeasures("answer");
    const startTime = performance.now();
    pixels = Drawing.pixels();
    find("pad-hint").hidden = !Drawing.isEmpty();
    Seen.draw(pixels, data.image);
    for (const view of views) runNetwork(view);
    sort = false;
    performance.measure("answer", { start: startTime }); // from the drawing to all panels
    scheduleRest();
  }

  function runNetwork(view) {
    const mine = Interventions.forModel(interventions, view.model, view.index);
    const results = new Map(); // interventions as JSON -> result
    const run = (list) => {
      const key = JSON.stringify(list);
      const previous = view.results.get(key) ?? null; // only the rows that changed are computed
      results.set(key, Engine.run(view.model, pixels, { interventions: list, previous }));
      return results.get(key);
    };
    view.draw({
      result: run(mine),
      untouched: mine.length ? run([]) : null,
      gradients: null,
      difference: find("difference").checked,
      sort,
    });
    view.results = results;
  }

  function scheduleRest() {
    find("networks").setAttribute("aria-busy", "true");
    clearTimeout(timer);
    timer = setTimeout(updateRest, QUIET);
  }

  function updateRest() {
    clearTimeout(timer);
    const isComplete = views.map((view) => view.complete(SLICE)).every(Boolean);
    if (!isComplete) timer = setTimeout(updateRest, 0); // the page stays responsive meanwhile
    find("networks").setAttribute("aria-busy", String(!isComplete));
    explain();
    announce();
    history.replaceState(null, "", `#${fragment()}`);
  }

  function announce() {
    const answers = views.map(({ name, model, answer }) => {
      const was = answer.was === null ? "" : `, untouched ${model.class_names[answer.was]}`;
      return `${name}: ${model.class_names[answer.winner]}, ${Texts.percent(answer.share)}${was}.`;
    });
    const text = `After ${Texts.stepName(Playback.step())}: ${answers.join(" ")}`;
    if (find("announcement").textContent !== text) find("announcement").textContent = text;
  }

  // --- explaining a value ----------------------------------------------------------------------

  // A value that was clicked stays explained when the pointer leaves, until another one is clicked,
  // Escape is pressed or the drawing changes.
  function select(chosen, pin = false) {
    if (!chosen && !pin && !pointed) return; // nothing has changed
    pointed = chosen;
    if (pin) pinned = chosen;
    if (pin && chosen) Playback.moveTo(chosen.panel.place(chosen).step);
    explain();
  }

  function unpin() {
    select(null, true);
  }

  function explain() {
    const chosen = pointed ?? pinned;
    const isPinned = ["panel", "row", "column"].every((key) => chosen?.[key] === pinned?.[key]);
    for (const view of views) view.mark(chosen?.view === view ? chosen : null);
    Explain.show(chosen, isPinned, (each) => {
      changeInterventions(Interventions.added(interventions, each), Texts.intervention(each));
    });
  }

  // --- interventions ---------------------------------------------------------------------------

  // next: the new list. text: what is new in it, for the question of "Predict first".
  function changeInterventions(next, text) {
    const affected = views.filter(({ model, index }) => {
      const json = (list) => JSON.stringify(Interventions.forModel(list, model, index));
      return json(next) !== json(interventions);
    });
    if (Predict.isOn() && affected.length) askFirst(next, text, affected);
    else setInterventions(next);
  }

  function askFirst(next, text, affected) {
    const last = first.steps - 1; // the prediction is about the answer after the last step
    Playback.moveTo(last);
    Controls.render(interventions); // a menu that was changed shows the present state again
    const networks = affected.map(({ name, model, answer }) => {
      return { name, classes: model.class_names, answer: answer.winner };
    });
    Predict.ask(text, networks, () => {
      setInterventions(next);
      Playback.moveTo(last);
      return affected.map(({ answer }) => answer.winner);
    });
  }

  function setInterventions(next) {
    interventions = next;
    Controls.render(interventions);
    find("difference").disabled = !interventions.length;
    if (!interventions.length) find("difference").checked = false;
    update();
    updateRest();
  }

  // --- the link --------------------------------------------------------------------------------

  function fragment() {
    const step = Playback.step();
    return Link.write({
      pixels,
      interventions,
      step: step === first.steps - 1 ? null : step,
    });
  }

  function followLink() {
    const link = Link.read(location.hash, height * width);
    if (link.pixels) Drawing.show(link.pixels); // else the drawing stays
    setInterventions(Interventions.valid(link.interventions, models));
    Playback.moveTo(link.step ?? first.steps - 1);
  }

  async function copyLink() {
    const address = `${location.href.split("#")[0]}#${fragment()}`;
    const field = find("link-text");
    field.value = address;
    field.hidden = await Link.copy(address);
    find("copied").textContent = field.hidden ? "Link copied" : "Copy this link:";
    if (!field.hidden) field.select();
  }

  // --- building --------------------------------------------------------------------------------

  // The limit of the colour scale of c: 95 % of the values are within it for some test images.
  function cellScale(model) {
    if (!model.states.includes("cell")) return 0;
    const values = data.samples.slice(0, 4).flatMap(({ pixels: code }) => {
      const { cells } = Engine.run(model, Engine.bytes(code));
      return cells.flatMap(({ states }) => Array.from(states.cell, Math.abs));
    });
    return values.sort((a, b) => a - b)[Math.floor(0.95 * values.length)] || 1;
  }

  function addLegends() {
    const limits = views.map((view) => view.cellScale).filter(Boolean);
    const legends = [
      ["gate", "gate", "0", "1"],
      ["h, candidate", "signed", "−1", "1"],
      ...limits.map((limit) => ["c", "signed", `−${Texts.value(limit)}`, Texts.value(limit)]),
    ];
    const show = () => {
      const elements = legends.map(([name, scale, low, high]) => {
        const legend = document.createElement("span");
        const bar = document.createElement("i");
        bar.style.background = Colours.gradient(scale);
        legend.append(`${name}: ${low} `, bar, ` ${high}`);
        return legend;
      });
      find("legends").replaceChildren(...elements);
    };
    show();
    Colours.onChange(show);
  }

  function addUnsupported() {
    for (const { name, unsupported } of data.models) {
      if (!unsupported) continue;
      const note = Object.assign(document.createElement("p"), { className: "unsupported" });
      note.textContent = `${name}: ${unsupported}`;
      find("networks").append(note);
    }
  }

  start();
})();
