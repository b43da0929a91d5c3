"use strict";

const page = JSON.parse(document.getElementById("page-data").textContent);
const slider = document.getElementById("slider");
const PLOTLY_CONFIG = { responsive: true, displayModeBar: false };

// Move the marker of every panel to one time bin, and show each model's prediction after it.
function showBin(bin) {
  const style = document.body.style;
  style.setProperty("--bin", bin);
  style.setProperty("--bin-position", page.binPositions[bin]);
  document.querySelector(".step").textContent = `step ${page.binLabels[bin]}`;
  document.querySelectorAll(".predictions span").forEach((span, index) => {
    span.textContent = page.models[index].predictions[bin];
  });
}

// Draw the charts of one layer and direction into the panels of its model.
function showCell(section, cell) {
  for (const [key, chart] of Object.entries(cell.charts)) {
    const target = section.querySelector(`[data-key="${key}"] .chart`);
    Plotly.react(target, chart.data, chart.layout, PLOTLY_CONFIG);
  }
}

document.querySelectorAll(".model").forEach((section, index) => {
  const { cells } = page.models[index];
  const menu = section.querySelector("select");
  menu.addEventListener("change", () => showCell(section, cells[menu.value]));
  showCell(section, cells[menu.value]);
});
slider.addEventListener("input", () => showBin(Number(slider.value)));
showBin(Number(slider.value));
