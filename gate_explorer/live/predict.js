"use strict";

// "Predict first": before an intervention takes effect, the user predicts the answer of each
// network that it changes. For use in class.
const Predict = (() => {
  const find = (id) => document.getElementById(id);
  let score = { right: 0, total: 0 },
    pending = null;

  function start() {
    find("prediction").addEventListener("submit", (event) => {
      event.preventDefault();
      reveal();
    });
    find("prediction-cancel").addEventListener("click", cancel);
    find("predict").addEventListener("change", () => {
      score = { right: 0, total: 0 };
      find("prediction-result").textContent = "";
      cancel();
    });
  }

  const isOn = () => find("predict").checked;

  // text: the change. networks: [{name, classes, answer: the class before}], those that it affects.
  // applyChange() makes the change and returns the class that each of them answers afterwards.
  function ask(text, networks, applyChange) {
    cancel();
    pending = { networks, applyChange };
    find("prediction-title").textContent = `${text}: what will the answer be?`;
    find("prediction-result").textContent = "";
    find("prediction-networks").replaceChildren(...networks.map(question));
    find("prediction").hidden = false;
    find("prediction-networks").querySelector("select").focus();
  }

  function question({ name, classes, answer }) {
    const label = document.createElement("label"),
      menu = document.createElement("select");
    menu.required = true;
    menu.add(new Option("choose", ""));
    classes.forEach((text, index) =>
      menu.add(new Option(index === answer ? `still ${text}` : text, index)),
    );
    label.append(`${name} `, menu);
    return label;
  }

  function reveal() {
    const { networks, applyChange } = pending;
    const guesses = [...find("prediction-networks").querySelectorAll("select")].map((menu) =>
      Number(menu.value),
    );
    pending = null;
    find("prediction").hidden = true;
    const answers = applyChange();
    const lines = networks.map(({ name, classes }, index) => {
      const right = guesses[index] === answers[index];
      score.total += 1;
      score.right += right ? 1 : 0;
      const got = classes[answers[index]];
      const remark = right ? "as you predicted" : `you predicted ${classes[guesses[index]]}`;
      return `${name} answers ${got}: ${remark}.`;
    });
    find("prediction-result").textContent =
      `${lines.join(" ")} ${score.right} of ${score.total} right.`;
  }

  function cancel() {
    if (!pending) return;
    pending = null;
    find("prediction").hidden = true;
  }

  return { start, isOn, ask, cancel };
})();
