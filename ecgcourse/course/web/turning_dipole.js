"use strict";
// The heart vector in the frontal plane during one beat, and its projections on the six limb leads.

const { fs, one, avf, axis: ownAxis, parts } = handedOver();
// Each lead's direction in degrees (0 to the patient's left, 90 down), and its strength (Einthoven, Goldberger).
const AUGMENTED = Math.sqrt(3) / 2;
const LEADS = {
  I: [0, 1], II: [60, 1], III: [120, 1],
  aVR: [-150, AUGMENTED], aVL: [-30, AUGMENTED], aVF: [90, AUGMENTED],
};
const NORMAL = [-30, 90];
const SLOWER = 8;
const RADIUS = 100; // of the wheel, in its drawing's units
// The tip of the arrow in mV: to the patient's left and down.
const own = one.map((microvolts, n) => [microvolts / 1000, (avf[n] / 1000) * (2 / Math.sqrt(3))]);
const reach = 1.08 * Math.max(...own.map(([left, down]) => Math.hypot(left, down)));
const [WIDE, TALL, BESIDE] = [(own.length / fs) * PER_SECOND, 2 * reach * PER_MILLIVOLT, 5]; // mm, of one lead
let tips, leads, frame;

function unit(degrees) {
  const angle = (degrees * Math.PI) / 180;
  return [Math.cos(angle), Math.sin(angle)];
}

/** The path turned by so many degrees: from the patient's left towards the feet. */
function turned(degrees) {
  const [cosine, sine] = unit(degrees);
  return own.map(([left, down]) => [left * cosine - down * sine, left * sine + down * cosine]);
}

function projected(tip, [direction, strength]) {
  const [left, down] = unit(direction);
  return strength * (tip[0] * left + tip[1] * down);
}

function draw(place, name, kind, d) {
  const found = place.querySelector(`[data-name="${name}"]`);
  if (found) found.setAttribute("d", d);
  else place.append(svg("path", { "data-name": name, class: kind, d }));
}

const onWheel = ([left, down]) => [(left / reach) * RADIUS, (down / reach) * RADIUS].map((value) => value.toFixed(2));

function drawWheelBehind() {
  const wheel = byId("wheel");
  const [from, to] = NORMAL.map((degrees) => unit(degrees).map((part) => RADIUS * part).join(" "));
  wheel.append(svg("path", { class: "sector", d: `M0 0L${from}A${RADIUS} ${RADIUS} 0 0 1 ${to}Z` }));
  for (const [name, [degrees]] of Object.entries(LEADS)) {
    const [x, y] = unit(degrees).map((part) => RADIUS * part);
    wheel.append(svg("path", { class: "direction", d: `M${-x} ${-y}L${x} ${y}` }));
    wheel.append(svg("text", { x: 1.17 * x, y: 1.17 * y - 5 }, name), svg("text", { x: 1.17 * x, y: 1.17 * y + 6 }, `${written(degrees, 0)}°`));
  }
}

/** Where a lead stands on the paper: its left end and its baseline, in mm. */
function corner(name) {
  const k = Object.keys(LEADS).indexOf(name);
  return [BESIDE + (k % 3) * (WIDE + BESIDE), TALL / 2 + Math.trunc(k / 3) * TALL];
}

function drawPaperBehind() {
  const [width, height] = [3 * WIDE + 4 * BESIDE, 2 * TALL];
  const place = byId("curves");
  place.setAttribute("viewBox", `0 0 ${width} ${height}`);
  place.append(svg("rect", { width, height, class: "sheet" }), ...grid(width, height));
  for (const name of Object.keys(LEADS)) {
    const [x, y] = corner(name);
    place.append(svg("text", { x: x + WIDE, y: y - TALL / 2 + 5, class: "end" }, name));
  }
}

/** What the arrow does at sample n: drawn up to there, and told. */
function drawMoment() {
  const n = Number(byId("at").value);
  const [wheel, tip] = [byId("wheel"), onWheel(tips[n])];
  draw(wheel, "past", "curve", pathThrough(tips.slice(0, n + 1).map(onWheel)));
  const feet = Object.values(LEADS).map(([degrees]) => onWheel(unit(degrees).map((part) => part * projected(tips[n], [degrees, 1]))));
  draw(wheel, "shadow", "shadow", feet.map((foot) => `M${tip.join(" ")}L${foot.join(" ")}`).join(""));
  draw(wheel, "feet", "column small dot", feet.map((foot) => `M${foot.join(" ")}h0`).join(""));
  draw(wheel, "arrow", "arrow", `M0 0L${tip.join(" ")}`);
  draw(wheel, "tip", "row dot", `M${tip.join(" ")}h0`);
  for (const name of Object.keys(LEADS)) {
    draw(byId("curves"), name, "trace", pathThrough(points(name).slice(0, n + 1)));
    draw(byId("curves"), `${name} now`, "row small dot", `M${points(name)[n].join(" ")}h0`);
  }
  tellMoment(n);
}

function points(name) {
  const [x, y] = corner(name);
  return leads[name].map((value, n) => [(x + (n / fs) * PER_SECOND).toFixed(2), (y - value * PER_MILLIVOLT).toFixed(2)]);
}

function tellMoment(n) {
  const [left, down] = tips[n];
  const wave = parts.find(({ from, to }) => n / fs >= from && n / fs <= to)?.name ?? "between the waves";
  const length = Math.hypot(left, down);
  const where = length < 0.03 ? "hardly any arrow" : `an arrow of ${written(length, 2)} mV to ${written((Math.atan2(down, left) * 180) / Math.PI, 0)}°`;
  const voltages = Object.keys(LEADS).map((name) => `${name} ${written(leads[name][n], 2)}`);
  byId("at-told").textContent = `${written(n / fs, 2)} s, ${wave}`;
  byId("at").setAttribute("aria-valuetext", byId("at-told").textContent);
  byId("moment").textContent = `${written(n / fs, 3)} s, ${wave}: ${where}. In mV: ${voltages.join(", ")}.`;
  speak(byId("moment").textContent);
}

function named(axis) {
  if (axis >= NORMAL[0] && axis <= NORMAL[1]) return "normal (−30° to +90°)";
  return axis < NORMAL[0] ? "left axis deviation (beyond −30°)" : "right axis deviation (beyond +90°)";
}

function turn() {
  const axis = Number(byId("axis").value);
  tips = turned(axis - Math.round(ownAxis));
  leads = Object.fromEntries(Object.entries(LEADS).map(([name, lead]) => [name, tips.map((tip) => projected(tip, lead))]));
  byId("axis-told").textContent = `${written(axis, 0)}°`;
  byId("axis").setAttribute("aria-valuetext", `${byId("axis-told").textContent}, ${named(axis)}`);
  byId("deviation").textContent = `Electrical axis ${written(axis, 0)}°: ${named(axis)}, as in Surawicz et al. 2009.`;
  draw(byId("wheel"), "path", "to-come", pathThrough(tips.map(onWheel)));
  for (const name of Object.keys(LEADS)) draw(byId("curves"), `${name} whole`, "to-come", pathThrough(points(name)));
  drawMoment();
}

function pause() {
  cancelAnimationFrame(frame);
  frame = undefined;
  byId("play").textContent = "Play";
}

/** Through the beat once, slowed down; from its start if it was at the end. */
function play() {
  const last = own.length - 1;
  const from = Number(byId("at").value) % last;
  let began;
  const step = (now) => {
    began ??= now;
    byId("at").value = Math.min(from + Math.round(((now - began) / 1000 / SLOWER) * fs), last);
    drawMoment();
    if (Number(byId("at").value) === last) pause();
    else frame = requestAnimationFrame(step);
  };
  byId("play").textContent = "Pause";
  frame = requestAnimationFrame(step);
}

function start() {
  byId("at").max = own.length - 1;
  byId("at").value = one.indexOf(Math.max(...one));
  byId("axis").value = Math.round(ownAxis);
  byId("at").addEventListener("input", () => {
    pause();
    drawMoment();
  });
  byId("axis").addEventListener("input", turn);
  byId("own").addEventListener("click", () => {
    byId("axis").value = Math.round(ownAxis);
    turn();
  });
  // Only somebody's press starts it, so who has asked for less motion gets none unasked.
  byId("play").addEventListener("click", () => (frame === undefined ? play() : pause()));
  drawWheelBehind();
  drawPaperBehind();
  turn();
}

start();
