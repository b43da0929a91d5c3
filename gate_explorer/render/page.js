"use strict";

const page = JSON.parse(document.getElementById("page").textContent);
const slider = document.getElementById("slider");
const CONFIG = { responsive: true, displayModeBar: false };

// Move the marker of every panel to one row; say what each model would answer there.
function showRow(row) {
  const root = document.body.style;
  root.setProperty("--row", row);
  root.setProperty("--column", page.columns[row]);
  document.querySelector(".step").textContent = `step ${page.rows[row]}`;
  document.querySelectorAll(".answers span").forEach((answer, index) => {
    answer.textContent = page.runs[index].answers[row];
  });
}

// Draw one layer and direction of a run into its panels.
function showCell(section, cell) {
  for (const [key, chart] of Object.entries(cell.charts)) {
    const target = section.querySelector(`[data-key="${key}"] .chart`);
    Plotly.react(target, chart.data, chart.layout, CONFIG);
  }
}

document.querySelectorAll(".run").forEach((section, index) => {
  const { cells } = page.runs[index];
  const menu = section.querySelector("select");
  menu.addEventListener("change", () => showCell(section, cells[menu.value]));
  showCell(section, cells[menu.value]);
});
slider.addEventListener("input", () => showRow(Number(slider.value)));
showRow(Number(slider.value));
