const page = JSON.parse(document.getElementById("page-data").textContent);
const slider = document.getElementById("slider");

// Move the marker of every panel to one time bin, and show each model's prediction after it.
function showBin(bin) {
  const style = document.body.style;
  style.setProperty("--bin", bin);
  style.setProperty("--bin-position", page.binPositions[bin]);
  const step = `step ${page.binLabels[bin]} of ${page.time}`;
  document.querySelector(".step").textContent = step;
  slider.setAttribute("aria-valuetext", step);
  document.querySelectorAll(".predictions span").forEach((span, index) => {
    span.textContent = page.models[index].predictions[bin];
  });
}

// Draw the charts of one layer and direction into the panels of its model.
function showCell(section, cell) {
  for (const [key, chart] of Object.entries(cell.charts)) {
    const panel = section.querySelector(`[data-key="${key}"]`);
    Charts.draw(panel.querySelector(".chart"), chart);
    panel.querySelector(".caption").textContent = cell.captions[key];
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
