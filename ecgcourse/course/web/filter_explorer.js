"use strict";
// A lead on paper, as recorded and after the band-pass of the chosen lower corner; the filter's gain; the ST level.

const { fs, high, corners, marks, records, stPoints, depression, synthetic } = handedOver();
const SHOWN = 3; // s, from the middle of the record
const MARGIN = 2.5; // mm on each side of them
const GAIN = { left: 30, right: 290, top: 8, bottom: 138, lowest: 0.02, highest: fs / 2 };
const leads = records.map(({ samples }) => floats(samples));
const [toBefore, toAfter] = stPoints.map((seconds) => Math.round(seconds * fs));
let recorded, after, settings, tops;

function passed(x, low, phase) {
  const sections = bandPass(fs, low, high);
  return phase === "causal" ? filtered(x, sections) : zeroPhase(x, sections);
}

function median(values) {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The ST level of a curve in mm: the median over the record's beats. */
function stLevel(y) {
  return PER_MILLIVOLT * median(records[settings.record].peaks.map((peak) => y[peak + toAfter] - y[peak + toBefore]));
}

/** Whether it counts, by the digits that are shown. */
function counts(level) {
  return Number(level.toFixed(2)) <= depression * PER_MILLIVOLT;
}

/** First and last sample that are shown. */
function shownSamples() {
  const first = Math.round((recorded.length / fs - SHOWN) / 2 * fs);
  return [first, first + Math.round(SHOWN * fs)];
}

/** Paper that is high enough for whatever the sliders make of the lead: its upper and lower end in mm. */
function paperFor(x) {
  const [first, last] = shownSamples();
  const curves = [x, ...corners.flatMap((low) => ["causal", "zero-phase"].map((phase) => passed(x, low, phase)))];
  const [lowest, highest] = range(curves.flatMap((curve) => range(curve.subarray(first, last + 1))));
  return [highest, lowest].map((end) => Math.sign(end) * 5 * Math.ceil((Math.abs(end) * PER_MILLIVOLT + 1.5) / 5));
}

function drawBeats() {
  const [first, last] = shownSamples();
  const [width, height] = [2 * MARGIN + SHOWN * PER_SECOND, tops[0] - tops[1]];
  const at = (n, value) => [(MARGIN + ((n - first) / fs) * PER_SECOND).toFixed(2), (tops[0] - value * PER_MILLIVOLT).toFixed(2)];
  const curve = (y) => pathThrough(Array.from(y.subarray(first, last + 1), (value, k) => at(first + k, value)));
  const seen = records[settings.record].peaks.filter((peak) => peak + toBefore >= first && peak + toAfter <= last);
  const levels = seen.map((peak) => pathThrough([toBefore, toAfter].map((shift) => at(peak + shift, after[peak + toBefore]))));
  const dots = seen.map((peak) => `M${at(peak + toAfter, after[peak + toAfter]).join(" ")}h0`);
  const place = byId("beats");
  place.setAttribute("viewBox", `0 0 ${width} ${height}`);
  place.setAttribute("aria-label", `${records[settings.record].name}: ${SHOWN} seconds on millimetre paper, as recorded and after the filter`);
  place.replaceChildren(
    svg("rect", { width, height, class: "sheet" }),
    ...grid(width, height),
    svg("path", { d: curve(recorded), class: "trace" }),
    svg("path", { d: curve(after), class: "row" }),
    svg("path", { d: levels.join(""), class: "level" }),
    svg("path", { d: dots.join(""), class: "row dot" }),
  );
}

function drawGain() {
  const { low, phase } = settings;
  const { left, right, top, bottom, lowest, highest } = GAIN;
  const sections = bandPass(fs, low, high);
  const gain = (frequency) => gainAt(frequency, sections, fs) ** (phase === "causal" ? 1 : 2);
  const across = (frequency) => left + ((right - left) * Math.log(frequency / lowest)) / Math.log(highest / lowest);
  const up = (value) => bottom - (bottom - top) * value;
  const points = Array.from({ length: 261 }, (_, k) => lowest * (highest / lowest) ** (k / 260));
  const [x, y] = [across(low), up(gain(low))];
  byId("gain").replaceChildren(
    svg("path", { d: [0, 0.5, 1].map((value) => `M${left} ${up(value)}H${right}`).join(""), class: "axis" }),
    ...[0, 0.5, 1].map((value) => svg("text", { x: left - 13, y: up(value) + 4 }, value)),
    ...[0.05, 0.2, 1, 5, high].map((frequency) => svg("text", { x: across(frequency), y: bottom + 16 }, frequency)),
    svg("text", { x: (left + right) / 2, y: bottom + 33 }, "frequency (Hz)"),
    svg("path", { d: `M${x} ${bottom}V${y}`, class: "mark" }),
    svg("path", { d: pathThrough(points.map((frequency) => [across(frequency).toFixed(1), up(gain(frequency)).toFixed(1)])), class: "row" }),
    svg("path", { d: `M${x} ${y}h0`, class: "column dot" }),
  );
  byId("gain").setAttribute("aria-label", `The filter's gain from ${lowest} to ${highest} Hz, with the lower corner marked`);
  byId("gain-told").textContent =
    `Gain, ${phase === "causal" ? "one pass" : "forwards and backwards"}: ${written(gain(low), 2)} at the corner of ${low} Hz, ` +
    `${written(gain(0.3), 2)} at 0.3 Hz (slow wander), ${written(gain(10), 2)} at 10 Hz.`;
}

function inMillimetres(level) {
  const text = written(level, 2);
  return `${Number(level.toFixed(2)) > 0 ? "+" : ""}${text} mm`;
}

function tell() {
  const [before, now] = [recorded, after].map(stLevel);
  const row = (name, level) => {
    const line = document.createElement("tr");
    line.append(Object.assign(document.createElement("th"), { scope: "row", textContent: name }));
    for (const text of [inMillimetres(level), counts(level) ? "yes" : "no"]) {
      line.append(Object.assign(document.createElement("td"), { textContent: text }));
    }
    return line;
  };
  byId("levels").replaceChildren(row("recorded", before), row("filtered", now));
  const verdicts = [
    ["Neither reaches the −0.5 mm that count.", "The filter has made an ST depression that counts; the record has none."],
    ["The filter hides an ST depression that the record has.", "Both reach the −0.5 mm that count."],
  ];
  byId("verdict").textContent =
    `${settings.phase === "causal" ? "Causal" : "Zero-phase"} filter, ${settings.low} to ${high} Hz: it moves the ST level ` +
    `from ${inMillimetres(before)} to ${inMillimetres(now)}. ${verdicts[Number(counts(before))][Number(counts(now))]}`;
  speak(byId("verdict").textContent);
}

function update() {
  const record = Number(byId("record").value);
  const low = corners[Number(byId("low").value)];
  const phase = document.querySelector("[name=phase]:checked").value;
  const another = settings?.record !== record;
  settings = { record, low, phase };
  recorded = leads[record];
  after = passed(recorded, low, phase);
  if (another) tops = paperFor(recorded);
  byId("low-told").textContent = `${low} Hz`;
  byId("low").setAttribute("aria-valuetext", `${low} Hz`);
  for (const button of byId("marks").children) button.setAttribute("aria-pressed", Number(button.value) === low);
  drawBeats();
  drawGain();
  tell();
}

function start() {
  byId("record").append(...records.map(({ name }, k) => new Option(name, k)));
  byId("low").max = corners.length - 1;
  byId("low").value = corners.indexOf(1);
  for (const [corner, words] of marks) {
    const button = Object.assign(document.createElement("button"), { type: "button", value: corner, textContent: `${corner} Hz${words}` });
    button.addEventListener("click", () => {
      byId("low").value = corners.indexOf(corner);
      update();
    });
    byId("marks").append(button);
  }
  for (const input of document.querySelectorAll("input, select")) input.addEventListener("input", update);
  byId("source").textContent =
    `${synthetic ? "Synthetic: made by a program, no patient’s. " : ""}The whole record is filtered, and ${SHOWN} s from its middle are shown: ` +
    `a causal filter starts as if there had been 0 mV before, and the lower its corner, the longer that can be seen.`;
  update();
}

start();
