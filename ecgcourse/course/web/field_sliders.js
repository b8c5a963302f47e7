"use strict";
// One lead; its Markov transition field with a slider for the bins; its recurrence plot with sliders for the threshold
// and the embedding.

const { fs, samples, name, synthetic } = handedOver();
const x = minMax(floats(samples));
const USUAL = { bins: 10, threshold: 0, dimension: 1, delay: 1 };
const settings = { ...USUAL };
let field, plot;

/** Distances of `count` trajectories: of the samples at m and n, and at the same delays after both. */
function recurrencePlot({ threshold, dimension, delay }) {
  const at = (m, n) => {
    let sum = 0;
    for (let k = 0; k < dimension * delay; k += delay) sum += (x[m + k] - x[n + k]) ** 2;
    return Math.sqrt(sum);
  };
  return {
    count: x.length - (dimension - 1) * delay,
    at: dimension === 1 ? FIELDS.RP(x).at : at,
    // No distance in so many dimensions is longer than the root.
    grey: threshold > 0 ? (value) => (value < threshold ? 0 : 1) : (value) => value / Math.sqrt(dimension),
  };
}

/** All values of a field, row by row. */
function valuesOf({ at }, count) {
  return Float64Array.from({ length: count * count }, (_, k) => at(Math.trunc(k / count), k % count));
}

function seconds(count) {
  return `${written(count / fs, 2)} s`;
}

function drawMarkov() {
  const { bins } = settings;
  field = FIELDS.MTF(x, { bins, mtfWhite: 1 });
  paint(byId("MTF"), greyLevels(field, x.length, x.length), x.length);
  const probabilities = transitionMatrix(binNumbers(x, bins), bins);
  paint(byId("matrix"), probabilities.flatMap((row) => Array.from(row, (p) => Math.trunc(255 * p))), bins);
  const edges = Array.from({ length: bins + 1 }, (_, k) => `M0 ${k / bins}H${x.length}`);
  document.querySelector("#of-mtf .edges").setAttribute("d", edges.join(""));
  const empty = probabilities.filter((row) => row.every((p) => p === 0)).length;
  const positive = probabilities.flatMap((row) => [...row]).filter(Boolean).length;
  byId("bins-told").textContent = bins;
  byId("mtf-told").textContent =
    `${x.length - 1} steps give ${bins * bins} transition probabilities, of which ${positive} ` +
    `are above 0; ${empty || "no"} ${empty === 1 ? "row is" : "rows are"} empty.`;
}

function drawRecurrence() {
  const { threshold, dimension, delay } = settings;
  plot = recurrencePlot(settings);
  const { count } = plot;
  const canvas = byId("RP");
  const levels = greyLevels(plot, count, count);
  paint(canvas, levels, count);
  canvas.style.width = canvas.style.height = `${(100 * count) / x.length}%`;
  const highest = x.subarray(0, count).indexOf(range(x.subarray(0, count))[1]);
  const dots = Array.from({ length: dimension }, (_, k) => highest + k * delay).map((n) => `M${n + 0.5} ${1 - x[n]}h0`);
  document.querySelector("#of-rp .dot").setAttribute("d", dots.join(""));
  byId("threshold-told").textContent = threshold > 0 ? written(threshold, 2) : "off: distances";
  byId("dimension-told").textContent = dimension === 1 ? "1: single samples" : dimension;
  byId("delay-told").textContent =
    dimension === 1 ? "without effect in dimension 1" : `${delay} ${delay === 1 ? "sample" : "samples"}, ${seconds(delay)}`;
  const black = levels.filter((level) => level === 0).length / levels.length;
  const rate = threshold > 0 ? `recurrence rate ${written(100 * black, 1)}\u00a0%` : `white is a distance of ${written(Math.sqrt(dimension), 2)}`;
  byId("rp-told").textContent = `${count} × ${count} moments, the first ${seconds(count)}; ${rate}.`;
}

function drawLeads() {
  const points = Array.from(x, (value, n) => [n + 0.5, 1 - value]);
  for (const svg of document.querySelectorAll(".plot svg")) {
    svg.setAttribute("viewBox", `0 -0.06 ${x.length} 1.12`);
    svg.querySelector(".curve").setAttribute("d", pathThrough(points));
  }
  for (const place of document.querySelectorAll(".down")) place.replaceChildren(...tickSpans(x.length, fs, "top"));
  for (const place of document.querySelectorAll(".across")) {
    const unit = Object.assign(document.createElement("em"), { textContent: "time (s)" });
    place.replaceChildren(...tickSpans(x.length, fs, "left"), unit);
  }
}

function update() {
  for (const each of Object.keys(USUAL)) settings[each] = Number(byId(each).value);
  drawMarkov();
  drawRecurrence();
  for (const each of Object.keys(USUAL)) byId(each).setAttribute("aria-valuetext", byId(`${each}-told`).textContent);
}

function start() {
  const made = synthetic ? " Synthetic: made by a program, it comes from no patient." : "";
  byId("source").textContent = `${name}: ${seconds(x.length)} at ${fs} Hz, raw as recorded, scaled to [0, 1].${made}`;
  for (const each of Object.keys(USUAL)) byId(each).addEventListener("input", update);
  byId("back").addEventListener("click", () => {
    for (const [each, value] of Object.entries(USUAL)) byId(each).value = value;
    update();
  });
  drawLeads();
  update();
}

start();
