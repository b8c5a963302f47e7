"use strict";
// One lead, one field, one pixel: the state, what follows from it, and where it is drawn.

const LENS = 15;
const { length, size, fs, bins, mtfWhite, records, leads, samples, synthetic } = handedOver();
const looks = taps(length, size);
const state = { record: 0, lead: 0, field: "GAF", row: Math.trunc(size / 4), column: Math.trunc((5 * size) / 8) };
let x, field, levels;

/** Second of the record that a pixel's middle looks at. */
function moment({ first, weight }) {
  return (first + weight) / fs;
}

function choose() {
  x = floats(samples[state.record][state.lead]);
  field = FIELDS[state.field](x, { bins, mtfWhite });
  levels = greyLevels(field, length, size);
  const canvas = document.querySelector("#picture canvas");
  paint(canvas, levels, size);
  byId("brighten").hidden = state.field !== "MTF" || mtfWhite < 5;
  const brighter = !byId("brighten").hidden && byId("brighten").querySelector("input").checked;
  for (const image of [canvas, byId("lens")]) image.classList.toggle("brighter", brighter);
  drawCurves();
  point(state.row, state.column);
}

/** Points of the curve in the drawing's units: samples to the right, 0 (top) to 1 (bottom). */
function curvePoints() {
  return Array.from(x, (value, n) => [n + 0.5, 1 - value]);
}

function drawCurves() {
  const above = byId("above");
  above.setAttribute("viewBox", `0 -0.06 ${length} 1.12`);
  above.querySelector(".curve").setAttribute("d", pathThrough(curvePoints()));
  const beside = document.querySelector("#beside svg");
  beside.setAttribute("viewBox", `-0.06 0 1.12 ${length}`);
  beside.querySelector(".curve").setAttribute("d", pathThrough(curvePoints(), true));
  document.querySelector("#picture svg").setAttribute("viewBox", `0 0 ${size} ${size}`);
}

function drawMarks(row, column) {
  const spot = (look) => [look.first + look.weight + 0.5, 1 - mix(x, look)];
  const [rowTime, rowHeight] = spot(row);
  const [columnTime, columnHeight] = spot(column);
  const draw = (selector, d) => document.querySelector(selector).setAttribute("d", d);
  draw("#above .row.mark", `M${rowTime} -0.06v1.12`);
  draw("#above .column.mark", `M${columnTime} -0.06v1.12`);
  draw("#above .row.dot", `M${rowTime} ${rowHeight}h0`);
  draw("#above .column.dot", `M${columnTime} ${columnHeight}h0`);
  draw("#beside .row.mark", `M-0.06 ${rowTime}h1.12`);
  draw("#beside .row.dot", `M${rowHeight} ${rowTime}h0`);
  // Beside the row and the column, not over them, with a gap where the pixel is.
  const ends = (at) => `M${at} 0V${state.row - 1}M${at} ${state.row + 2}V${size}`;
  const turned = (at) => `M0 ${at}H${state.column - 1}M${state.column + 2} ${at}H${size}`;
  draw("#picture .row", turned(state.row) + turned(state.row + 1));
  draw("#picture .column", ends(state.column) + ends(state.column + 1));
}

function drawLens() {
  const canvas = byId("lens");
  const half = Math.trunc(LENS / 2);
  canvas.width = canvas.height = LENS;
  const source = document.querySelector("#picture canvas");
  canvas.getContext("2d").drawImage(source, half - state.column, half - state.row);
  const middle = half / LENS;
  document.querySelector(".lens path").setAttribute("d", `M${middle} ${middle}h${1 / LENS}v${1 / LENS}h${-1 / LENS}z`);
}

/** A row of the table: a pair of samples, the field's value there, and its share in the pixel. */
function termCells({ m, n, share }) {
  const value = `${field.term(m, n)}\n= ${written(field.at(m, n))}`;
  return [`${m}\nx = ${written(x[m])}`, `${n}\nx = ${written(x[n])}`, value, `${written(100 * share, 1)}\u00a0%`];
}

function showTerms(row, column) {
  byId("terms").replaceChildren(
    ...pairs(row, column).map((pair) => {
      const line = document.createElement("tr");
      line.append(...termCells(pair).map((text) => Object.assign(document.createElement("td"), { textContent: text })));
      return line;
    }),
  );
}

function showSum(row, column, level) {
  const value = pixelValue(field, row, column, (plain) => plain);
  const exact = 255 * pixelValue(field, row, column, field.grey);
  byId("sum").textContent =
    `Together: ${field.name} = ${written(value)}. ` +
    `Grey level: 255 · ${field.greyInWords(written(value))} = ${written(exact, 2)}, cut to ${level}.`;
}

/** Point at a pixel: everything that depends on it is drawn anew. */
function point(row, column) {
  const inside = (n) => Math.min(Math.max(n, 0), size - 1);
  Object.assign(state, { row: inside(row), column: inside(column) });
  const [ofRow, ofColumn] = [looks[state.row], looks[state.column]];
  const level = levels[state.row * size + state.column];
  const told = (look) => `${written(moment(look))} s, x = ${written(mix(x, look))}`;
  byId("pixel").textContent = `Pixel (${state.row}, ${state.column}): grey level ${level}`;
  byId("of-row").textContent = `row ${state.row}: ${told(ofRow)}`;
  byId("of-column").textContent = `column ${state.column}: ${told(ofColumn)}`;
  showTerms(ofRow, ofColumn);
  showSum(ofRow, ofColumn, level);
  drawMarks(ofRow, ofColumn);
  drawLens();
  byId("above").setAttribute("aria-valuenow", state.column);
  byId("above").setAttribute("aria-valuetext", `${written(moment(ofColumn))} s, x = ${written(mix(x, ofColumn))}`);
  speak(`Row ${state.row} at ${told(ofRow)}; column ${state.column} at ${told(ofColumn)}; grey level ${level}.`);
}

/** The pixel below a pointer, along one axis of an element. */
function under(event, element, axis) {
  const box = element.getBoundingClientRect();
  const share = axis === "x" ? (event.clientX - box.left) / box.width : (event.clientY - box.top) / box.height;
  return Math.floor(share * size);
}

function followPointer(element, react) {
  for (const kind of ["pointermove", "pointerdown"]) element.addEventListener(kind, react);
}

/** What a key does to (row, column); undefined for keys that mean nothing here. */
function moved(key, far) {
  const { row, column } = state;
  const step = far ? 10 : 1;
  return {
    ArrowLeft: [row, column - step],
    ArrowRight: [row, column + step],
    ArrowUp: [row - step, column],
    ArrowDown: [row + step, column],
    Home: [row, 0],
    End: [row, size - 1],
    PageUp: [0, column],
    PageDown: [size - 1, column],
    d: [column, column],
    D: [column, column],
  }[key];
}

function onKeys(element, place) {
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const next = place(event);
    if (!next) return;
    event.preventDefault();
    point(...next);
  });
}

/** On a curve, keys move one moment: both the row and the column of the pixel. */
function movedMoment({ key, shiftKey }) {
  const along = { ArrowUp: "ArrowRight", ArrowDown: "ArrowLeft" }[key] ?? key;
  const next = ["ArrowLeft", "ArrowRight", "Home", "End"].includes(along) && moved(along, shiftKey)[1];
  return next === false ? undefined : [next, next];
}

function fillSelect(id, names) {
  byId(id).replaceChildren(...names.map((name, k) => new Option(name, k)));
  byId(id).addEventListener("change", (event) => {
    state[id] = Number(event.target.value);
    choose();
  });
}

function drawTicks() {
  const unit = Object.assign(document.createElement("em"), { textContent: "time (s), to the right and downwards" });
  byId("across").replaceChildren(...tickSpans(length, fs, "left"), unit);
  byId("down").replaceChildren(...tickSpans(length, fs, "top"));
}

function start() {
  fillSelect("record", records);
  fillSelect("lead", leads);
  byId("field").addEventListener("change", (event) => {
    state.field = event.target.value;
    choose();
  });
  byId("brighten").addEventListener("change", choose);
  byId("source").textContent = synthetic ? "Synthetic: these records were made by a program and come from no patient." : "";
  const [above, beside, picture] = ["above", "beside", "picture"].map(byId);
  above.setAttribute("aria-valuemax", size - 1);
  picture.setAttribute("aria-label", `Image of ${size} by ${size} pixels, to be walked over with the arrow keys`);
  followPointer(picture, (event) => point(under(event, picture, "y"), under(event, picture, "x")));
  followPointer(above, (event) => point(under(event, above, "x"), under(event, above, "x")));
  followPointer(beside, (event) => point(under(event, beside, "y"), under(event, beside, "y")));
  onKeys(picture, ({ key, shiftKey }) => moved(key, shiftKey));
  onKeys(above, movedMoment);
  drawTicks();
  choose();
}

start();
