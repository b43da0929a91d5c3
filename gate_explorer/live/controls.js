"use strict";

// The controls that make interventions: experiments of one click, a form for any gate, state and
// unit, the mistakes of the catalogue, and the list of what is active.
const Controls = (() => {
  const find = (id) => document.getElementById(id);

  const EXPERIMENTS = [
    {
      text: "Hold the forget gate shut",
      make: () => ({ type: "gate", gate: "forget", value: 0 }),
      look:
        "Look at the cell state c: at every row the unit erases what it kept of the rows above. " +
        "The LSTM answers from the last rows alone.",
    },
    {
      text: "Hold the forget gate open",
      make: () => ({ type: "gate", gate: "forget", value: 1 }),
      look: "Look at the cell state c: nothing is erased, so each row is added to all others.",
    },
    {
      text: "Hold update gate open",
      make: () => ({ type: "gate", gate: "update", value: 1 }),
      look: "Look at h of the GRU: every unit keeps its old value, so no row is ever read.",
    },
    {
      text: "Cut the memory here",
      make: (step) => ({ type: "cut", step }),
      look:
        "Look at the hidden state h at the pink line: it starts again from 0, so the networks " +
        "answer from the rows below the cut. Choose the row with the slider first.",
    },
    {
      text: "Remove recurrent weights",
      make: () => ({ type: "no_recurrence" }),
      look:
        "Look at the RNN: without W_hh each row is read as if it were the only one. The gated " +
        "cells still carry their state from row to row.",
    },
  ];

  let models,
    getStep,
    change,
    current = [];

  // change(list, text) is called with the next list of interventions and what is new in it.
  function start(options) {
    ({ models, getStep, change } = options);
    addExperiments();
    addMistakes(options.mistakes);
    prepareForm();
    find("reset").addEventListener("click", () => change([], "Reset all"));
  }

  const existing = () => models.filter(Boolean);
  const possible = (each) =>
    models.some((model, index) => model && Interventions.forModel([each], model, index).length);

  // --- experiments -----------------------------------------------------------------------------

  function addExperiments() {
    for (const experiment of EXPERIMENTS) {
      if (!possible(experiment.make(0))) continue;
      const button = Object.assign(document.createElement("button"), { type: "button" });
      button.textContent = experiment.text;
      button.dataset.type = experiment.make(0).type;
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => toggle(experiment));
      experiment.button = button;
      find("experiments").append(button);
    }
  }

  function active(experiment) {
    const made = experiment.make(0);
    return current.find((each) =>
      made.type === "cut" ? each.type === "cut" : Interventions.same(each, made),
    );
  }

  function toggle(experiment) {
    const found = active(experiment);
    if (found) return remove(found);
    change(Interventions.added(current, experiment.make(getStep())), experiment.text);
  }

  // --- the mistakes of the catalogue -----------------------------------------------------------

  let catalogue = [];

  function addMistakes(mistakes) {
    const menu = find("mistake");
    menu.add(new Option("no mistake", ""));
    catalogue = mistakes.filter(({ id }) => existing().some((model) => id in model.mistakes));
    for (const { id, cells } of catalogue) {
      const names = cells.filter((cell) => existing().some((model) => model.cell === cell));
      menu.add(new Option(`${Texts.mistake(id)} (${names.map(Texts.cellName).join(", ")})`, id));
    }
    menu.addEventListener("change", () => applyMistake(menu.value, 0));
    find("variant").addEventListener("change", () =>
      applyMistake(menu.value, Number(find("variant").value)),
    );
  }

  function applyMistake(id, variant) {
    const others = current.filter((each) => each.type !== "mistake");
    if (!id) return change(others, "No mistake");
    change([...others, { type: "mistake", id, variant }], `Mistake: ${Texts.mistake(id)}`);
  }

  function renderMistake() {
    const made = current.find((each) => each.type === "mistake");
    find("mistake").value = made?.id ?? "";
    const found = catalogue.find(({ id }) => id === made?.id),
      variants = found?.variants ?? [];
    find("variant").hidden = variants.length < 2;
    find("variant").replaceChildren(...variants.map((text, index) => new Option(text, index)));
    find("variant").value = made?.variant ?? 0;
    find("mistake-text").hidden = !found;
    if (found) {
      find("mistake-why").textContent = `${found.why[0].toUpperCase()}${found.why.slice(1)}.`;
      find("mistake-right").textContent = found.right;
      find("mistake-wrong").textContent = found.wrong;
    }
  }

  // --- the form --------------------------------------------------------------------------------

  const ACTIONS = {
    hold0: { text: "hold at 0", of: "gates", make: (gate) => ({ type: "gate", gate, value: 0 }) },
    hold1: { text: "hold at 1", of: "gates", make: (gate) => ({ type: "gate", gate, value: 1 }) },
    zero: { text: "set to 0", of: "states", make: (state) => ({ type: "zero", state }) },
    freeze: {
      text: "freeze from here",
      of: "states",
      make: (state, step) => ({ type: "freeze", state, from: step }),
    },
  };

  function prepareForm() {
    for (const [key, { text }] of Object.entries(ACTIONS))
      find("action").add(new Option(text, key));
    find("action").addEventListener("change", listTargets);
    find("network").add(new Option("all networks", ""));
    models.forEach(
      (model, index) => model && find("network").add(new Option(Texts.cellName(model.cell), index)),
    );
    find("network").hidden = existing().length < 2;
    find("network").addEventListener("change", listTargets);
    find("add").addEventListener("submit", (event) => {
      event.preventDefault();
      addFromForm();
    });
    listTargets();
  }

  function selectedModels() {
    const index = find("network").value;
    return index === "" ? existing() : [models[index]];
  }

  function listTargets() {
    const { of } = ACTIONS[find("action").value],
      target = find("target"),
      before = target.value;
    const names = [...new Set(selectedModels().flatMap((model) => model[of]))].sort();
    const label = (name) => Texts.title(name, selectedModels()[0].cell).replace(/ [a-z]$/, "");
    target.replaceChildren(...names.map((name) => new Option(label(name), name)));
    if (names.includes(before)) target.value = before;
    find("unit").max = Math.max(...selectedModels().map((model) => model.hidden_size)) - 1;
  }

  function addFromForm() {
    const made = ACTIONS[find("action").value].make(find("target").value, getStep());
    const unit = find("unit").value,
      network = find("network").value;
    if (unit !== "") made.unit = Number(unit);
    if (network !== "") made.run = Number(network);
    change(Interventions.added(current, made), Texts.intervention(made));
  }

  // --- the list --------------------------------------------------------------------------------

  function remove(each) {
    change(
      current.filter((other) => other !== each),
      `Remove: ${Texts.intervention(each)}`,
    );
  }

  function render(list) {
    current = list;
    for (const experiment of EXPERIMENTS) {
      experiment.button?.setAttribute("aria-pressed", String(Boolean(active(experiment))));
    }
    const last = EXPERIMENTS.filter((each) => each.button && active(each)).at(-1);
    find("look").textContent = last?.look ?? "";
    find("active").replaceChildren(...list.map(chip));
    find("reset").disabled = !list.length;
    renderMistake();
  }

  function chip(each) {
    const item = document.createElement("li"),
      button = document.createElement("button");
    const network = each.run == null ? "" : `${Texts.cellName(models[each.run].cell)}: `;
    const text = `${network}${Texts.intervention(each)}`;
    button.type = "button";
    button.textContent = `${text} ✕`;
    button.setAttribute("aria-label", `Remove: ${text}`);
    button.addEventListener("click", () => remove(each));
    item.append(button);
    return item;
  }

  return { start, render };
})();
