"use strict";
// What every page does: look like the page around it, light or dark, and be as tall as what it holds.

/** The document around this one's frame, if there is one that may be looked at. */
function hostDocument() {
  try {
    return window.parent === window ? null : window.parent.document;
  } catch {
    return null;
  }
}

/** "light" or "dark", from the built book (data-theme), Colab (theme) or JupyterLab; else from the system. */
function theme(host) {
  const lab = { true: "light", false: "dark" }[host?.body?.dataset.jpThemeLight];
  const named = host?.documentElement.dataset.theme ?? host?.documentElement.getAttribute("theme") ?? lab;
  const system = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  return named === "dark" || named === "light" ? named : system;
}

function followTheme() {
  const host = hostDocument();
  const apply = () => (document.documentElement.dataset.theme = theme(host));
  apply();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  if (!host) return;
  const watcher = new MutationObserver(apply);
  for (const element of [host.documentElement, host.body]) watcher.observe(element, { attributes: true });
}

function followHeight() {
  const frame = hostDocument() && window.frameElement;
  if (!frame) return;
  const fit = () => (frame.style.height = `${Math.ceil(document.body.getBoundingClientRect().height)}px`);
  new ResizeObserver(fit).observe(document.body);
}

function byId(id) {
  return document.getElementById(id);
}

/** The numbers that Python handed over. */
function handedOver() {
  return JSON.parse(byId("data").textContent);
}

/** The bytes that base64 holds. */
function bytesOf(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** Numbers embedded as little-endian float32 in base64. */
function floats(text) {
  const bytes = bytesOf(text);
  const view = new DataView(bytes.buffer);
  return Float64Array.from({ length: bytes.length / 4 }, (_, n) => view.getFloat32(4 * n, true));
}

/** Put grey levels onto a square canvas. */
function paint(canvas, levels, size) {
  canvas.width = canvas.height = size;
  const image = new ImageData(size, size);
  levels.forEach((level, k) => image.data.set([level, level, level, 255], 4 * k));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** The d of a path through points; `flip` exchanges x and y. */
function pathThrough(points, flip = false) {
  return points.map(([x, y], k) => `${k ? "L" : "M"}${flip ? `${y} ${x}` : `${x} ${y}`}`).join("");
}

/** Multiples of 1, 2 or 5 times a power of ten, at most six up to `end`. */
function ticks(end) {
  const power = 10 ** Math.floor(Math.log10(end / 5));
  const step = power * [1, 2, 5, 10].find((factor) => end / (factor * power) <= 5.5);
  return Array.from({ length: Math.floor(end / step + 1e-9) + 1 }, (_, k) => Number((k * step).toFixed(6)));
}

/** The ticks of a time axis below (`side` "left") or beside ("top") a drawing with a column for each sample. */
function tickSpans(length, fs, side) {
  return ticks(length / fs).map((second) => {
    const span = Object.assign(document.createElement("span"), { textContent: second });
    span.style[side] = `${(100 * (second * fs + 0.5)) / length}%`;
    return span;
  });
}

let speaking;

/** Say it to those who can't see it, once it stays as it is. */
function speak(text) {
  clearTimeout(speaking);
  speaking = setTimeout(() => (byId("spoken").textContent = text), 250);
}

followTheme();
followHeight();
