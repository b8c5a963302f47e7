"use strict";
// The band-pass filter of ecgcourse.signals: its design, its gain, and a signal run through it once or both ways.

/** Second-order sections of a Butterworth band-pass: scipy.signal.butter(2, [low, high], "bandpass", fs=fs, output="sos"). */
function bandPass(fs, low, high) {
  const rate = 2 * fs;
  // Prewarped, so that the bilinear transform puts both corners where they are wanted.
  const [from, to] = [low, high].map((corner) => rate * Math.tan((Math.PI * corner) / fs));
  const [width, product] = [to - from, from * to];
  // The low-pass prototype's pole p = (-1 + i)/√2 becomes the two roots of s² - width p s + product = 0. One of them is
  // far from 0; the other is product over it, which loses no digits.
  const half = width / Math.sqrt(8);
  const root = Math.hypot(product, 2 * half * half);
  const far = -half - Math.sqrt((root - product) / 2);
  const square = far ** 2 + (half + Math.sqrt((root + product) / 2)) ** 2;
  const poles = [[far, square], [(product * far) / square, product ** 2 / square]]; // real part, square of the modulus
  return poles.map(([real, modulus]) => {
    const a0 = rate * rate - 2 * real * rate + modulus;
    const b0 = (width * rate) / a0;
    return [b0, 0, -b0, 1, (2 * (modulus - rate * rate)) / a0, (rate * rate + 2 * real * rate + modulus) / a0];
  });
}

/** The sections' gain at a frequency in Hz. */
function gainAt(frequency, sections, fs) {
  const angle = (2 * Math.PI * frequency) / fs;
  const modulus = (c0, c1, c2) =>
    Math.hypot(c0 + c1 * Math.cos(angle) + c2 * Math.cos(2 * angle), c1 * Math.sin(angle) + c2 * Math.sin(2 * angle));
  return sections.reduce((gain, [b0, b1, b2, a0, a1, a2]) => (gain * modulus(b0, b1, b2)) / modulus(a0, a1, a2), 1);
}

/** Filter forward in time, section after section, as if x had always been `before`; from rest: scipy.signal.sosfilt. */
function filtered(x, sections, before = 0) {
  const y = Float64Array.from(x);
  for (const [b0, b1, b2, , a1, a2] of sections) {
    const after = (before * (b0 + b1 + b2)) / (1 + a1 + a2);
    let second = b2 * before - a2 * after;
    let first = b1 * before - a1 * after + second;
    for (let n = 0; n < y.length; n++) {
      const out = b0 * y[n] + first;
      first = b1 * y[n] - a1 * out + second;
      second = b2 * y[n] - a2 * out;
      y[n] = out;
    }
    before = after;
  }
  return y;
}

/** Filter forward and back: scipy.signal.sosfiltfilt, which first extends x oddly at each end. */
function zeroPhase(x, sections) {
  const [pad, last] = [3 * (2 * sections.length + 1), x.length - 1];
  const longer = Float64Array.from({ length: x.length + 2 * pad }, (_, k) => {
    const n = k - pad;
    return n < 0 ? 2 * x[0] - x[-n] : n > last ? 2 * x[last] - x[2 * last - n] : x[n];
  });
  const forward = filtered(longer, sections, longer[0]).reverse();
  return filtered(forward, sections, forward[0]).reverse().subarray(pad, pad + x.length);
}
