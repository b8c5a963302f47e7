"use strict";
// What ecgcourse does between millivolts and a probability: resampling, band-pass, scaling, crops, network, calibration.

/** To the nearest whole number, halves to the even one, as NumPy and PyTorch round. */
function roundEven(value) {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 ? rounded - 1 : rounded;
}

/** The ratio of two rates as [up, down] of whole numbers up to 10,000: the last convergent of its continued fraction. */
function ratioOf(rate, wanted) {
  let [p0, q0, p1, q1] = [0, 1, 1, 0];
  for (let rest = wanted / rate; ; rest = 1 / (rest - Math.floor(rest))) {
    const whole = Math.floor(rest);
    const [p2, q2] = [whole * p1 + p0, whole * q1 + q0];
    if (!(Math.max(p2, q2) <= 1e4)) break;
    [p0, q0, p1, q1] = [p1, q1, p2, q2];
    if (Math.abs(((p1 / q1) * rate) / wanted - 1) < 1e-12) break;
  }
  if (!q1 || !p1 || Math.abs(((p1 / q1) * rate) / wanted - 1) > 1e-6) {
    throw new Unreadable(`${rate} to ${wanted} Hz is no ratio of whole numbers up to 10,000.`);
  }
  return [p1, q1];
}

/** Modified Bessel function of the first kind, order 0, by its power series. */
function bessel(x) {
  let sum = 1;
  for (let term = 1, k = 1; term > 1e-17 * sum; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}

/** SciPy’s low-pass for resampling: a sinc under a Kaiser window with β = 5, ten zeros on each side, sum `up`. */
function lowPass(up, down) {
  const largest = Math.max(up, down);
  const half = 10 * largest;
  const taps = Float64Array.from({ length: 2 * half + 1 }, (_, k) => {
    const at = (k - half) / largest;
    const sinc = at ? Math.sin(Math.PI * at) / (Math.PI * at) : 1;
    return sinc * bessel(5 * Math.sqrt(1 - ((k - half) / half) ** 2));
  });
  const scale = up / taps.reduce((sum, tap) => sum + tap, 0);
  return taps.map((tap) => tap * scale);
}

/** Bring a signal to another rate as scipy.signal.resample_poly(x, up, down, padtype="line") does. */
function resample(x, rate, wanted) {
  const [up, down] = ratioOf(rate, wanted);
  if (up === down) return x;
  const taps = lowPass(up, down);
  const half = (taps.length - 1) / 2;
  const last = x.length - 1;
  // Beyond its ends a record goes on along the line from its first sample to its last.
  const slope = (x[last] - x[0]) / (last || 1);
  const at = (n) => (n < 0 ? x[0] + n * slope : n > last ? x[last] + (n - last) * slope : x[n]);
  return Float64Array.from({ length: Math.ceil((x.length * up) / down) }, (_, m) => {
    let sum = 0;
    for (let n = Math.ceil((m * down - half) / up); n * up <= m * down + half; n++) sum += taps[m * down - n * up + half] * at(n);
    return sum;
  });
}

/** Scale to mean 0 and standard deviation 1; a flat signal becomes zeros. */
function zScore(x) {
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  const deviation = Math.sqrt(x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length);
  return x.map((value) => (value - mean) / (deviation || 1));
}

/** Filter and scale a lead, in float32 as the package keeps it. A constant is flat before the filter, not behind it. */
function prepared(x, sections, scale) {
  const [lowest, highest] = range(x);
  return lowest === highest ? new Float64Array(x.length) : scale(filtered(x, sections)).map(Math.fround);
}

/** Give each layer its weights, taken one after the other. */
function withWeights(layers, weights) {
  let taken = 0;
  const take = (count) => weights.subarray(taken, (taken += count));
  const convolution = (shape) => ({
    ...shape,
    weights: take(shape.filters * shape.inputs * shape.kernel),
    bias: take(shape.filters),
  });
  const stem = convolution(layers.stem);
  const blocks = layers.blocks.map((block) => ({
    pool: block.pool,
    first: convolution(block.first),
    second: convolution(block.second),
    shortcut: block.shortcut && convolution(block.shortcut),
  }));
  const { inputs, outputs } = layers.head;
  return { ...layers, stem, blocks, head: { inputs, outputs, weights: take(inputs * outputs), bias: take(outputs) } };
}

// Maps are { values, channels, length }: one channel after the other.

function convolve({ values, length }, { filters, inputs, kernel, stride, weights, bias }) {
  const pad = kernel >> 1;
  const padded = length + 2 * pad;
  // Four taps at a time, the last ones with weights of 0: faster than one by one.
  const from = new Float64Array(inputs * padded + 4);
  for (let i = 0; i < inputs; i++) from.set(values.subarray(i * length, (i + 1) * length), i * padded + pad);
  const found = Math.floor((padded - kernel) / stride) + 1;
  const to = new Float64Array(filters * found);
  for (let o = 0, w = 0; o < filters; o++) {
    const out = to.subarray(o * found, (o + 1) * found).fill(bias[o]);
    for (let i = 0; i < inputs; i++, w += kernel) {
      for (let k = 0; k < kernel; k += 4) {
        const a = weights[w + k];
        const b = k + 1 < kernel ? weights[w + k + 1] : 0;
        const c = k + 2 < kernel ? weights[w + k + 2] : 0;
        const d = k + 3 < kernel ? weights[w + k + 3] : 0;
        for (let t = 0, n = i * padded + k; t < found; t++, n += stride) {
          out[t] += a * from[n] + b * from[n + 1] + c * from[n + 2] + d * from[n + 3];
        }
      }
    }
  }
  return { values: to, channels: filters, length: found };
}

function rectified(maps) {
  return { ...maps, values: maps.values.map((value) => Math.max(value, 0)) };
}

/** Pool over windows of `size`, `stride` apart; those at the ends have what there is of them. */
function pooled({ values, channels, length }, size, stride, pad, found, join) {
  const to = new Float64Array(channels * found);
  for (let c = 0; c < channels; c++) {
    for (let t = 0; t < found; t++) {
      const start = Math.max(t * stride - pad, 0);
      to[c * found + t] = join(values.subarray(c * length + start, c * length + Math.min(t * stride - pad + size, length)));
    }
  }
  return { values: to, channels, length: found };
}

function largest(values) {
  return values.reduce((top, value) => Math.max(top, value), -Infinity);
}

function average(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function residual(maps, { first, second, pool, shortcut }) {
  const inner = convolve(rectified(convolve(maps, first)), second);
  let outer = pool > 1 ? pooled(maps, pool, pool, 0, Math.ceil(maps.length / pool), average) : maps;
  if (shortcut) outer = convolve(outer, shortcut);
  return rectified({ ...inner, values: inner.values.map((value, n) => value + outer.values[n]) });
}

/** Logits of one crop: leads of equal length to a number for each class. */
function logitsOf(leads, { scale, shift, stem, blocks, head }) {
  const length = leads[0].length;
  const values = new Float64Array(leads.length * length);
  leads.forEach((lead, c) => values.set(lead.map((value) => value * scale[c] + shift[c]), c * length));
  let maps = rectified(convolve({ values, channels: leads.length, length }, stem));
  maps = pooled(maps, 3, 2, 1, Math.floor((maps.length - 1) / 2) + 1, largest);
  for (const block of blocks) maps = residual(maps, block);
  const rows = Array.from({ length: maps.channels }, (_, c) => maps.values.subarray(c * maps.length, (c + 1) * maps.length));
  const embedded = [...rows.map(average), ...rows.map(largest)];
  return Array.from(head.bias, (bias, k) => embedded.reduce((sum, value, n) => sum + value * head.weights[k * head.inputs + n], bias));
}

/** Where the crops begin that a network is asked about. */
function cropStarts(last, count) {
  return count > 1 ? Array.from({ length: count }, (_, k) => roundEven((last * k) / (count - 1))) : [Math.trunc(last / 2)];
}

/** Logits of a window, the mean of those of its crops; `known` are crops’ logits that need not be computed again. */
function askWindow(leads, network, { crop, crops }, known = []) {
  const starts = cropStarts(leads[0].length - crop, crops);
  const ofCrops = starts.map((start, k) => known[k] ?? logitsOf(leads.map((lead) => lead.subarray(start, start + crop)), network));
  return { ofCrops, logits: ofCrops[0].map((_, k) => average(ofCrops.map((logits) => logits[k]))), starts };
}

/** By how much each logit falls when a second of the network’s input is set to 0, the mean of each lead: [second][class]. */
function occlusion(leads, network, settings, { ofCrops, logits, starts }) {
  const { rate, crop } = settings;
  return Array.from({ length: Math.floor(leads[0].length / rate) }, (_, second) => {
    const [from, to] = [second * rate, (second + 1) * rate];
    const hidden = leads.map((lead) => Float64Array.from(lead).fill(0, from, to));
    const known = ofCrops.map((each, k) => (starts[k] + crop <= from || starts[k] >= to ? each : undefined));
    const without = askWindow(hidden, network, settings, known).logits;
    return logits.map((logit, k) => logit - without[k]);
  });
}

/** Calibrated probabilities of logits. */
function probabilitiesOf(logits, classes) {
  return logits.map((logit, k) => 1 / (1 + Math.exp(-(classes[k].slope * logit + classes[k].offset))));
}
