"use strict";
// The arithmetic of ecgcourse.fields, operation by operation: what Python rounds, the browser rounds the same way.

/** Which two samples each pixel mixes, and the share of the second. */
function taps(length, size) {
  const clip = (n) => Math.min(Math.max(n, 0), length - 1);
  return Array.from({ length: size }, (_, pixel) => {
    const position = (pixel + 0.5) * (length / size) - 0.5;
    const first = Math.floor(position);
    const weight = first < 0 || first >= length - 1 ? 0 : position - first;
    return { first: clip(first), second: Math.min(clip(first) + 1, length - 1), weight };
  });
}

/** A sample between two samples. */
function mix(values, { first, second, weight }) {
  return values[first] * (1 - weight) + values[second] * weight;
}

function range(values) {
  let lowest = Infinity;
  let highest = -Infinity;
  for (const value of values) {
    lowest = Math.min(lowest, value);
    highest = Math.max(highest, value);
  }
  return [lowest, highest];
}

/** Scale to [0, 1]; a flat signal becomes zeros. */
function minMax(values) {
  const [lowest, highest] = range(values);
  const span = highest - lowest || 1;
  return Float64Array.from(values, (value) => (value - lowest) / span);
}

/** Rescale to [−1, 1]; a flat signal becomes −1 throughout. */
function toCosine(x) {
  const [lowest, highest] = range(x);
  const span = highest - lowest || 1;
  return Float64Array.from(x, (value) => Math.min(Math.max((2 * (value - lowest)) / span - 1, -1), 1));
}

function binNumbers(x, bins) {
  const edges = [];
  for (let bin = 0, sum = 0; bin < bins; bin++) edges.push((sum += 1 / bins));
  edges[bins - 1] = 1;
  return Uint16Array.from(x, (value) => edges.findIndex((edge) => value <= edge));
}

/** Share of steps from each bin to each; rows of bins that no step leaves are zero. */
function transitionMatrix(q, bins) {
  const counts = Array.from({ length: bins }, () => new Float64Array(bins));
  for (let n = 0; n + 1 < q.length; n++) counts[q[n]][q[n + 1]] += 1;
  return counts.map((row) => {
    const leaving = row.reduce((sum, count) => sum + count, 0) || 1;
    return row.map((count) => count / leaving);
  });
}

/** A number as people write it, with a true minus. */
function written(value, digits = 3) {
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "\u2212");
}

// Each field: its value at a pair of samples, the same in words, and the grey in [0, 1] that it is stored as.
const FIELDS = {
  GAF: (x) => {
    const cosine = toCosine(x);
    const sine = cosine.map((value) => Math.sqrt(1 - value * value));
    const degrees = (n) => `${written((Math.acos(cosine[n]) * 180) / Math.PI, 1)}°`;
    return {
      name: "g",
      at: (m, n) => cosine[m] * cosine[n] - sine[m] * sine[n],
      term: (m, n) => `cos(${degrees(m)} + ${degrees(n)})`,
      grey: (value) => (value + 1) / 2,
      greyInWords: (value) => `(${value} + 1) / 2`,
    };
  },
  MTF: (x, { bins, mtfWhite }) => {
    const q = binNumbers(x, bins);
    const shares = transitionMatrix(q, bins);
    return {
      name: "p",
      at: (m, n) => shares[q[m]][q[n]],
      term: (m, n) => `P[bin ${q[m]} → bin ${q[n]}]`,
      grey: (value) => value / mtfWhite,
      greyInWords: (value) => `${value} / ${mtfWhite}`,
    };
  },
  RP: (x) => ({
    name: "d",
    at: (m, n) => Math.abs(x[m] - x[n]),
    term: (m, n) => `|${written(x[m])} − ${written(x[n])}|`,
    grey: (value) => value,
    greyInWords: (value) => value,
  }),
};

/** The four pairs of samples behind a pixel with the share of each, those without a share left out. */
function pairs(row, column) {
  const sides = ({ first, second, weight }) => [[first, 1 - weight], [second, weight]].filter(([, share]) => share > 0);
  return sides(row).flatMap(([m, ofRow]) => sides(column).map(([n, ofColumn]) => ({ m, n, share: ofRow * ofColumn })));
}

/** One pixel of a field that is resized, after `scale`: rows are mixed first, then columns. */
function pixelValue(field, row, column, scale) {
  const inColumn = (n) =>
    scale(field.at(row.first, n)) * (1 - row.weight) + scale(field.at(row.second, n)) * row.weight;
  return inColumn(column.first) * (1 - column.weight) + inColumn(column.second) * column.weight;
}

/** Grey levels of a field's image, row by row. */
function greyLevels(field, length, size) {
  const looks = taps(length, size);
  const levels = new Uint8Array(size * size);
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      levels[row * size + column] = Math.trunc(255 * pixelValue(field, looks[row], looks[column], field.grey));
    }
  }
  return levels;
}
