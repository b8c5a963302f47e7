"use strict";
// ECG paper as SVG in millimetres, 25 mm/s and 10 mm/mV, and where it is asked for a column of colour for each second
// behind the traces.

const ROWS = [["I", "aVR", "V1", "V4"], ["II", "aVL", "V2", "V5"], ["III", "aVF", "V3", "V6"], ["II"]];
const [PER_SECOND, PER_MILLIVOLT, LEFT] = [25, 10, 12.5];
const BARS = 32; // mm below the paper

function svg(kind, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Draw a window of a record: `lead(name)` gives its samples in mV, `effects`, if any, a number for each second. */
function drawPaper(place, { lead, rate, seconds, start, synthetic, effects, words }) {
  const whole = (length) => Math.ceil(Math.min(length, 50) / 5) * 5;
  const rows = ROWS.map((names) => names.map((name, column) => {
    const lasts = seconds / names.length;
    const [from, to] = [column, column + 1].map((k) => Math.round(k * lasts * rate));
    return { name, from, values: lead(name).subarray(from, to) };
  }));
  let height = 10;
  const baselines = rows.map((row) => {
    const [lowest, highest] = range(row.flatMap(({ values }) => range(values)));
    height += whole(Math.max(10, highest * PER_MILLIVOLT + 6));
    const baseline = height;
    height += whole(Math.max(5, -lowest * PER_MILLIVOLT));
    return baseline;
  });
  height += 10;
  const width = LEFT + seconds * PER_SECOND + 7.5;
  const x = (second) => LEFT + second * PER_SECOND;
  place.setAttribute("viewBox", `0 0 ${width} ${height + (effects ? BARS : 0)}`);
  place.setAttribute("aria-label", words);
  place.replaceChildren(svg("rect", { width, height, class: "sheet" }), ...grid(width, height));
  if (effects) drawEffects(place, effects, x, height);
  rows.forEach((row, k) => {
    const pulse = `M${2.5} ${baselines[k]}h1v${-PER_MILLIVOLT}h5v${PER_MILLIVOLT}h1`;
    place.append(svg("path", { d: pulse, class: "trace" }));
    for (const { name, from, values } of row) {
      const points = Array.from(values, (value, n) => [x((from + n) / rate).toFixed(2), (baselines[k] - value * PER_MILLIVOLT).toFixed(2)]);
      place.append(svg("path", { d: pathThrough(points), class: "trace" }));
      const under = Math.max(5, ...values.subarray(0, Math.round(0.4 * rate)).map((value) => value * PER_MILLIVOLT));
      place.append(svg("text", { x: x(from / rate) + 1, y: baselines[k] - under - 1.5, class: "lead" }, name));
    }
  });
  place.append(svg("text", { x: 2.5, y: height - 3.5 }, `25 mm/s   10 mm/mV   ${Number(rate.toPrecision(6))} Hz   from ${start} s`));
  if (synthetic) {
    place.append(svg("text", { x: width - 2.5, y: height - 3.5, class: "lead end" }, "SYNTHETIC: made by a program, no patient"));
  }
}

/** Lines each mm, and stronger ones each 5 mm. */
function grid(width, height) {
  const lines = (step) => {
    const across = Array.from({ length: Math.floor(width / step) + 1 }, (_, k) => `M${k * step} 0V${height}`);
    const down = Array.from({ length: Math.floor(height / step) + 1 }, (_, k) => `M0 ${k * step}H${width}`);
    return [...across, ...down].join("");
  };
  return [svg("path", { d: lines(1), class: "minor" }), svg("path", { d: lines(5), class: "major" })];
}

/** A column behind the traces and a bar below them for each second, up and orange where it speaks for the class. */
function drawEffects(place, effects, x, height) {
  const largest = Math.max(...effects.map(Math.abs)) || 1;
  const zero = height + 14;
  effects.forEach((effect, second) => {
    const kind = effect > 0 ? "for" : "against";
    const share = Math.abs(effect) / largest;
    const bar = 8 * share;
    place.append(
      svg("rect", { x: x(second), y: 0, width: PER_SECOND, height, class: `band ${kind}`, opacity: (0.3 * share).toFixed(3) }),
      svg("rect", { x: x(second) + 3, y: effect > 0 ? zero - bar : zero, width: PER_SECOND - 6, height: bar, class: `bar ${kind}` }),
      svg("text", { x: x(second) + PER_SECOND / 2, y: effect > 0 ? zero + 6 : zero - 2.5, class: "middle" }, signed(effect)),
      svg("text", { x: x(second) + PER_SECOND / 2, y: height + BARS - 1.5, class: "middle faint" }, `${second}–${second + 1} s`),
    );
  });
  place.append(svg("path", { d: `M${x(0)} ${zero}H${x(effects.length)}`, class: "zero" }));
}

/** A number with its sign. */
function signed(value) {
  const text = written(value, 2);
  return value > 0 && Number(value.toFixed(2)) ? `+${text}` : text;
}
