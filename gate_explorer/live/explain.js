"use strict";

// The box that shows the equation of one value with its numerical values.
const Explain = (() => {
  const narrow = matchMedia("(max-width: 760px)"); // as in networks.css: one below the other
  const box = document.getElementById("explain");
  const find = (selector) => box.querySelector(selector);
  const HINT =
    "Point at a value in a picture, or tap it: its equation appears here with the values of that " +
    "unit. One column is one unit of the network, one line is one ";

  let shownActions = "[]"; // as JSON

  // chosen: {view, panel, row, column}, or null. hold(intervention) is called by the buttons for
  // one unit, which appear if the value is pinned.
  function show(chosen, pinned, hold) {
    showActions(chosen && pinned ? actionsOn(chosen) : [], hold);
    if (!chosen) {
      return write("Explain a value", "", "", `${HINT}${Texts.stepKind()} of the image.`);
    }
    const { view, panel } = chosen;
    const parent = narrow.matches ? view.root : document.querySelector(".results");
    if (box.parentElement !== parent) parent.append(box); // moving it would lose the focus
    const place = panel.place(chosen);
    if (panel.kind === "probabilities") showProbability(view, place);
    else if (panel.kind === "gradient") showGradient(chosen, place);
    else showUnit(chosen, place);
  }

  function write(heading, equation, values, meaning) {
    find("h2").textContent = heading;
    find(".equation").textContent = equation;
    find(".values").textContent = values;
    find(".meaning").textContent = meaning;
  }

  function showUnit({ view, panel }, { step, unit }) {
    const { name } = panel;
    const { cell } = view.model;
    const { result } = view.shown;
    const { layer, direction } = result.cells[view.cell];
    const names = cell === "rnn" ? ["candidate", "hidden"] : [name]; // h' = n explains little
    const lines = names.map((each) => {
      return Engine.explain(result, { layer, direction, step, unit, name: each });
    });
    const note = lines.at(-1).note;
    const title = `${view.name}, ${Texts.title(name, cell)}`;
    const caption = Texts.CAPTIONS[name];
    write(
      `${title}, unit ${unit}, ${Texts.stepName(step)}`,
      lines.map(({ equation }) => equation).join(",  "),
      lines.map(({ substituted }) => substituted).join(",  "),
      note ? `This value is ${note}. ${caption}` : caption,
    );
  }

  function showProbability(view, { step, unit }) {
    const share = Texts.percent(view.probabilitiesAt(view.shown.result, step)[unit]);
    const name = view.model.class_names[unit];
    const when = Texts.stepName(step);
    write(
      `${view.name}, class ${name}, ${when}`,
      `P(${name} | ${Texts.stepKind()}s 1 to ${step + 1}) = ${share}`,
      "",
      `The probability of class ${name} if the image ended after ${when}.`,
    );
  }

  function showGradient({ view, panel, row, column }, { step }) {
    const { gradients } = view.shown;
    const { input_size: size, class_names: names } = view.model;
    if (!gradients) return;
    const value = gradients.input[step * size + (size > 1 ? column : 0)];
    const winner = names[gradients.class];
    const at = Texts.stepName(step) + (size > 1 ? `, pixel ${column + 1}` : "");
    write(
      `${view.name}, gradient of class ${winner}, ${at}`,
      `∂ logit(${winner}) / ∂ x = ${scientific(value)}`,
      size > 1 ? `norm over the ${Texts.stepKind()}: ${scientific(panel.norms[row])}` : "",
      "How the score of the winning class changes if this pixel gets more ink: red raises it, " +
        `blue lowers it. The bars show the norm for each ${Texts.stepKind()}; where they are ` +
        "short, the network has forgotten.",
    );
  }

  function scientific(value) {
    const isSmall = value !== 0 && Math.abs(value) < 0.001;
    return (isSmall ? value.toExponential(1) : value.toFixed(3)).replaceAll("-", "−");
  }

  // The interventions on the unit of a value, each with the text of its button.
  function actionsOn(chosen) {
    const { view, panel } = chosen;
    const { kind, name } = panel;
    const { step, unit } = panel.place(chosen);
    const { layer, direction } = view.shown.result.cells[view.cell];
    const where = { run: view.index, unit, layer, direction };
    if (kind === "gates") {
      return (name === "candidate" ? [0] : [0, 1]).map((value) => ({
        text: `Hold this unit at ${value}`,
        intervention: { type: "gate", gate: name, value, ...where },
      }));
    }
    if (kind !== "states") return [];
    const zero = { type: "zero", state: name, ...where };
    const freeze = { type: "freeze", state: name, from: step, ...where };
    return [
      { text: "Hold this unit at 0", intervention: zero },
      { text: `Freeze this unit from ${Texts.stepName(step)}`, intervention: freeze },
    ];
  }

  // The buttons stay as they are while the actions are the same, so that one keeps the focus.
  function showActions(actions, hold) {
    const key = JSON.stringify(actions);
    if (key === shownActions) return;
    shownActions = key;
    const buttons = actions.map(({ text, intervention }) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: text });
      button.addEventListener("click", () => hold(intervention));
      return button;
    });
    find(".actions").replaceChildren(...buttons);
  }

  return { show };
})();
