"use strict";
// A lead as a sum of bells, its four sliders, and the three images that follow from it.

const { fs, length, size, bins, mtfWhite, firstPeak, lateAfter, reach, bells, qrs, sliders } = handedOver();

/** Times of the R peaks in s, from before the lead to after it. */
function peaks(rate) {
  const beat = 60 / rate;
  const times = [];
  for (let k = -2; firstPeak + beat * k < length / fs + 1; k++) times.push(firstPeak + beat * k);
  return times;
}

/** The bells of one beat after the sliders: what each slider means stands here. */
function shaped({ rate, st, qrs: width, t }) {
  const wider = width / qrs.duration;
  // Fridericia: the QT interval grows with the cube root of the beat's length.
  const stretch = (60 / rate) ** (1 / 3);
  return Object.entries(bells).map(([name, bell]) => {
    const factor = qrs.waves.includes(name) ? wider : 1;
    const amplitude = { ST: st, T: t }[name] ?? bell.amplitude;
    const centre = bell.centre * factor * (bell.centre > lateAfter ? stretch : 1);
    return { ...bell, amplitude, centre, width: bell.width * factor };
  });
}

/** The lead in mV. */
function beats(settings) {
  const lead = new Float64Array(length);
  const shapes = shaped(settings);
  for (const peak of peaks(settings.rate)) {
    for (const { centre, width, amplitude, power } of shapes) {
      const middle = peak + centre;
      for (let n = 0; n < length; n++) {
        if (n / fs < middle - reach * width || n / fs >= middle + reach * width) continue;
        lead[n] += amplitude * Math.exp(-0.5 * (Math.abs(n / fs - middle) / width) ** power);
      }
    }
  }
  return lead;
}

const usual = Object.fromEntries(sliders.map(({ name, value }) => [name, value]));
const usualLead = beats(usual);
let settings, lead;

function drawLead() {
  const [lowest, highest] = range([...lead, ...usualLead]);
  const margin = 0.08 * (highest - lowest);
  const points = (values) => Array.from(values, (value, n) => [n, -value]);
  byId("lead").setAttribute("viewBox", `0 ${-highest - margin} ${length} ${highest - lowest + 2 * margin}`);
  document.querySelector("#lead .curve").setAttribute("d", pathThrough(points(lead)));
  document.querySelector("#lead .usual").setAttribute("d", pathThrough(points(usualLead)));
}

function drawImages() {
  const x = minMax(lead);
  for (const [name, make] of Object.entries(FIELDS)) {
    paint(byId(name), greyLevels(make(x, { bins, mtfWhite }), length, size), size);
  }
}

function update() {
  settings = Object.fromEntries(sliders.map(({ name }) => [name, Number(byId(name).value)]));
  for (const { name, unit, digits } of sliders) {
    byId(name).previousElementSibling.textContent = `${written(settings[name], digits)} ${unit}`;
    byId(name).setAttribute("aria-valuetext", byId(name).previousElementSibling.textContent);
  }
  lead = beats(settings);
  const [lowest, highest] = range(lead);
  byId("measured").textContent = `The lead runs from ${written(lowest, 2)} to ${written(highest, 2)} mV.`;
  drawLead();
  drawImages();
}

function makeSlider({ name, label, lowest, highest, step, value }) {
  const line = Object.assign(document.createElement("label"), { className: "slider" });
  const input = Object.assign(document.createElement("input"), { type: "range", id: name, min: lowest, max: highest, step });
  input.value = value;
  // Without it, the name would hold the number too, and be read twice.
  input.setAttribute("aria-label", label);
  line.append(label, input, document.createElement("output"));
  line.insertBefore(line.lastChild, input);
  input.addEventListener("input", update);
  return line;
}

function start() {
  byId("sliders").replaceChildren(...sliders.map(makeSlider));
  byId("usual").addEventListener("click", () => {
    for (const { name, value } of sliders) byId(name).value = value;
    update();
  });
  const spans = ticks(length / fs).map((second) => {
    const span = Object.assign(document.createElement("span"), { textContent: second });
    span.style.left = `${(100 * second * fs) / length}%`;
    return span;
  });
  byId("across").replaceChildren(...spans.slice(0, -1), Object.assign(document.createElement("em"), { textContent: `${length / fs} s` }));
  update();
}

start();
