"use strict";
// ECG files become leads in mV, as ecgcourse.records.own_files has it: WFDB here, tables in tables.js. What a file holds
// is { rate, signals: [{ name, unit, values }], notes, synthetic }; rate and unit are null where it says none.

const LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];
const LARGEST_FILE = 32 * 2 ** 20; // bytes
const PLAUSIBLE = [0.05, 20]; // mV from peak to peak in 2 s of an ECG

/** What is wrong with a file, in words for its owner. */
class Unreadable extends Error {}

/** What a file doesn't say and its owner may know: "rate" or "unit". */
class Question extends Unreadable {
  constructor(asks, words, likely) {
    super(words);
    Object.assign(this, { asks, likely });
  }
}

const VOLT = "(?:[munµμ]?v|(?:milli|micro|nano)?volts?)";
const LEAD = new RegExp(
  "^(?:(?:mdc_ecg_lead|ecg|ekg|lead|channel|ch)[\\s_:.-]*)*" +
    "(?<lead>d?i{1,3}|av[rlf]|v[1-6]|mlii|ml2)(?:\\s*\\(einthoven\\))?" +
    `(?:[\\s_/:]*[[(]\\s*(?<inside>[^\\])]*?)\\s*[\\])]|[\\s_/:]+(?<after>${VOLT}))?$`,
  "i",
);

/** Our name of a lead, and the unit that stands with it; null for what is no lead. */
function leadOf(name) {
  const match = LEAD.exec(name.trim().replace(/^['"\s]+|['"\s]+$/g, "").slice(0, 80));
  if (!match) return null;
  let plain = match.groups.lead.toLowerCase();
  plain = plain === "ml2" ? "mlii" : plain.replace(/^d/, "");
  const lead = [...LEADS, "MLII"].find((one) => one.toLowerCase() === plain);
  return { lead, unit: match.groups.inside || match.groups.after || null };
}

/** Our name of a unit; null for what is none of `units`. */
function unitOf(text, units) {
  const word = text.trim().toLowerCase().replace(/[µμ]/g, "u").replace(/s$/, "");
  const plain = { millivolt: "mv", microvolt: "uv", nanovolt: "nv", volt: "v" }[word] ?? word;
  return Object.keys(units).find((unit) => unit.toLowerCase() === plain) ?? null;
}

/** The text in a file's bytes: UTF-8 or 16 where it is that, else Latin-1. */
function textOf(bytes) {
  const wide = { "255,254": "utf-16le", "254,255": "utf-16be" }[[...bytes.slice(0, 2)].join()];
  try {
    return new TextDecoder(wide ?? "utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

/** A text of a file, short enough to be told. */
function shown(text) {
  const plain = String(text).replace(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, "?");
  return `“${plain.length > 60 ? `${plain.slice(0, 60)}…` : plain}”`;
}

// --- WFDB

// Bytes of a sample, what stands for a missing one, and how sample n is read from the bytes at `start`.
const FORMATS = {
  16: { bytes: 2, missing: -(2 ** 15), at: (view, start, n) => view.getInt16(start + 2 * n, true) },
  61: { bytes: 2, missing: -(2 ** 15), at: (view, start, n) => view.getInt16(start + 2 * n, false) },
  24: {
    bytes: 3,
    missing: -(2 ** 23),
    at: (view, start, n) => view.getUint16(start + 3 * n, true) + 65536 * view.getInt8(start + 3 * n + 2),
  },
  32: { bytes: 4, missing: -(2 ** 31), at: (view, start, n) => view.getInt32(start + 4 * n, true) },
  80: { bytes: 1, missing: -128, at: (view, start, n) => view.getUint8(start + n) - 128 },
  212: { bytes: 1.5, missing: -2048, at: twelveBits },
};

/** Format 212: two samples of 12 bits in three bytes. */
function twelveBits(view, start, n) {
  const first = start + 3 * (n >> 1);
  const middle = view.getUint8(first + 1);
  const bits = n % 2 ? view.getUint8(first + 2) | ((middle & 0xf0) << 4) : view.getUint8(first) | ((middle & 0x0f) << 8);
  return bits > 2047 ? bits - 4096 : bits;
}

function headerOf(name, text) {
  const lines = text.split(/\r\n|\n|\r/).map((line) => line.trim()).filter(Boolean);
  const [first, ...rest] = lines.filter((line) => !line.startsWith("#"));
  const match = /^\S+?(\/\d+)?\s+(\d+)(?:\s+(\d*\.?\d+)\S*(?:\s+(\d+))?.*)?$/.exec(first ?? "");
  if (!match) throw new Unreadable(`${name} is no header of WFDB; choose another file.`);
  if (match[1]) throw new Unreadable(`${name} is made of several segments, which this page doesn’t join; choose one of them.`);
  if (!rest.length || rest.length !== Number(match[2])) {
    throw new Unreadable(`${name} describes ${rest.length} signals, but says ${match[2]}; get it again.`);
  }
  const synthetic = lines.some((line) => line.startsWith("#") && line.includes("synthetic ECG made by ecgcourse"));
  const signals = rest.map((line) => signalOf(name, line));
  return { rate: Number(match[3] ?? 250), length: match[4] && Number(match[4]), signals, synthetic };
}

/** A signal's line: file, format, gain(baseline)/unit, resolution, zero, first value, checksum, block, name. */
function signalOf(header, line) {
  const [, file, format, rest] = /^(\S+)\s+(\S+)\s*(.*)$/.exec(line) ?? [];
  const parts = /^(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?$/.exec(format ?? "");
  if (!parts) throw new Unreadable(`${header} has a line that can’t be read: ${shown(line)}; get it again.`);
  if (!FORMATS[parts[1]]) {
    const known = Object.keys(FORMATS).join(", ");
    throw new Unreadable(`${header} names format ${parts[1]}; this page reads ${known}, the package all of WFDB’s.`);
  }
  if (Number(parts[2] ?? 1) !== 1 || Number(parts[3] ?? 0)) {
    throw new Unreadable(`${header} has signals of several rates or shifted ones, which this page doesn’t bring together.`);
  }
  const fields = rest.split(/\s+/);
  const scale = /^([-+.\deE]+)?(?:\((-?\d+)\))?(?:\/(\S+))?$/.exec(fields[0]) ?? [];
  const whole = (k) => (/^-?\d+$/.test(fields[k] ?? "") ? Number(fields[k]) : undefined);
  return {
    file,
    format: FORMATS[parts[1]],
    offset: Number(parts[4] ?? 0),
    gain: Number(scale[1]) || 0,
    baseline: Number(scale[2] ?? whole(2) ?? 0),
    unit: scale[3] ?? "mV",
    checksum: whole(4),
    name: fields.slice(6).join(" "),
  };
}

/** Read a record of WFDB by its header; `files` are all that were given, by their names. */
function readWfdb(name, files) {
  const header = headerOf(name, textOf(files.get(name)));
  const notes = [];
  for (const file of new Set(header.signals.map((signal) => signal.file))) {
    const own = header.signals.filter((signal) => signal.file === file);
    const bytes = [...files].find(([given]) => given.toLowerCase() === file.toLowerCase())?.[1];
    if (!bytes) throw new Unreadable(`${name} keeps its signals in ${shown(file)}; choose both files together.`);
    fill(name, file, own, bytes, header);
  }
  const stated = header.signals.map((signal) => signal.checksum);
  const wrong = header.signals.filter(({ sum, checksum }) => (sum - checksum) % 65536).map((signal) => signal.name);
  if (!stated.includes(undefined) && stated.some(Boolean) && wrong.length) {
    notes.push(`The samples of lead ${wrong.join(", ")} don’t add up to the checksum in the header: a file was damaged or exchanged.`);
  }
  for (const signal of header.signals.filter((one) => !one.gain && leadOf(one.name))) {
    notes.push(`Lead ${signal.name} has no gain; 200 steps for a mV are assumed, as WFDB’s manual says.`);
  }
  return { ...header, notes };
}

/** Read the signals that lie in one file, sample after sample in turn. */
function fill(name, file, signals, bytes, header) {
  const [{ format, offset }] = signals;
  if (signals.some((signal) => signal.format !== format)) {
    throw new Unreadable(`${name} has several formats in ${shown(file)}, which can’t be; get it again.`);
  }
  const count = signals.length;
  header.length ??= Math.floor((bytes.length - offset) / (format.bytes * count));
  const needed = offset + Math.ceil(header.length * count * format.bytes);
  if (needed > bytes.length) {
    throw new Unreadable(`${name} needs ${needed} bytes of ${shown(file)}, which has ${bytes.length} and is cut short; get both again.`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  signals.forEach((signal, k) => {
    signal.values = new Float64Array(header.length);
    signal.sum = 0;
    for (let n = 0; n < header.length; n++) {
      const sample = format.at(view, offset, n * count + k);
      signal.sum += sample;
      signal.values[n] = sample === format.missing ? NaN : (sample - signal.baseline) / (signal.gain || 200);
    }
  });
}

// --- from what a file holds to leads in mV

/** The leads of a file, by their names, and its rate; `told` is what its owner answered to questions. */
function toRecord(name, raw, told, { units, noHeart }) {
  const leads = new Map();
  const unsure = [];
  for (const signal of raw.signals) {
    const found = leadOf(signal.name);
    if (!found || signal.values.every(Number.isNaN)) continue;
    if (leads.has(found.lead)) throw new Unreadable(`${name} has lead ${found.lead} twice; name each lead once.`);
    const unit = signal.unit ?? found.unit;
    if (unit === null) unsure.push(signal.values);
    leads.set(found.lead, { unit, values: signal.values });
  }
  if (!leads.size) {
    const names = raw.signals.map((signal) => signal.name).join(", ");
    throw new Unreadable(`No signal of ${name} is a lead of the ECG: found ${shown(names)}; name them as in ${LEADS.join(", ")}.`);
  }
  const rate = raw.rate ?? told.rate;
  if (!rate) throw new Question("rate", `${name} doesn’t say its sampling rate.`);
  if (!(rate > 0 && rate < Infinity)) throw new Unreadable(`${name} says a sampling rate of ${rate} Hz, which can’t be; correct it.`);
  if (!told.unit && unsure.length) askForUnit(name, unsure, rate, units);
  for (const [lead, { unit, values }] of leads) {
    const known = unitOf(unit ?? told.unit ?? "mV", units);
    if (!known) throw new Unreadable(`${name} has lead ${lead} in ${shown(unit)}, but ${Object.keys(units).join(", ")} can be read.`);
    leads.set(lead, inMillivolt(values, units[known]));
  }
  const largest = Math.max(...[...leads.values()].map((values) => values.reduce((top, value) => Math.max(top, Math.abs(value) || 0), 0)));
  if (largest > noHeart) {
    const words = `${name} reaches ${Number(largest.toPrecision(4))} mV, which no heart does on the skin: the unit is wrong`;
    throw raw.signals.every((signal) => signal.unit) ? new Unreadable(`${words}.`) : new Question("unit", `${words}. Choose another.`);
  }
  return { name: name.replace(/\.[^.]*$/, ""), rate, leads, notes: [...raw.notes], synthetic: Boolean(raw.synthetic) };
}

/** Where a number of units makes a millivolt, dividing rounds once. */
function inMillivolt(values, per) {
  return per > 1 ? values.map((value) => value / per) : values.map((value) => value * Math.round(1 / per));
}

function median(values) {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** Voltages without a unit are in mV if they are as tall as a heart’s, going by what usually happens in 2 s. */
function askForUnit(name, signals, rate, units) {
  const heights = [];
  for (const values of signals) {
    const length = Math.max(Math.min(Math.round(2 * rate), values.length), 1);
    for (let start = 0; start + length <= values.length; start += length) {
      const piece = values.subarray(start, start + length);
      if (piece.some(Number.isNaN)) continue;
      const [lowest, highest] = range(piece);
      if (highest > lowest) heights.push(highest - lowest);
    }
  }
  const height = heights.length ? median(heights) : 0;
  if (height >= PLAUSIBLE[0] && height <= PLAUSIBLE[1]) return;
  const likely = Object.keys(units).find((unit) => unit !== "mV" && height / units[unit] >= 0.02 && height / units[unit] <= PLAUSIBLE[1]);
  const guess = likely ? `; it is likely ${likely}` : "";
  const words = `${name} says no unit, and waves of ${Number(height.toPrecision(3))} from peak to peak can’t be mV${guess}.`;
  throw new Question("unit", words, likely);
}

/** Take leads of a record, in order, and work out those limb leads that it lacks, as Einthoven and Goldberger did. */
function withLeads(record, wanted) {
  const { leads, name } = record;
  const notes = [...record.notes];
  const there = new Map(leads);
  const lacks = wanted.filter((lead) => !there.has(lead));
  const fromLimbs = lacks.some((lead) => ["II", "III", "aVR", "aVL", "aVF"].includes(lead));
  if (fromLimbs && !there.has("II") && there.has("MLII") && (there.has("I") || lacks.includes("II"))) {
    notes.push("Lead MLII is taken for lead II; it resembles it but comes from electrodes on the chest.");
    there.set("II", there.get("MLII"));
  }
  if (there.has("I") && there.has("II")) {
    const [one, two] = [there.get("I"), there.get("II")];
    const derived = {
      III: (n) => two[n] - one[n],
      aVR: (n) => -(one[n] + two[n]) / 2,
      aVL: (n) => one[n] - two[n] / 2,
      aVF: (n) => two[n] - one[n] / 2,
    };
    const missing = Object.keys(derived).filter((lead) => wanted.includes(lead) && !there.has(lead));
    for (const lead of missing) there.set(lead, Float64Array.from(one, (_, n) => derived[lead](n)));
    if (missing.length) notes.push(`${missing.join(", ")}: worked out from I and II.`);
  }
  const lacking = wanted.filter((lead) => !there.has(lead));
  if (lacking.length) {
    const rest = "the network needs all twelve, of which III, aVR, aVL and aVF follow from I and II.";
    throw new Unreadable(`${name} has no lead ${lacking.join(", ")}, only ${[...leads.keys()].join(", ")}; ${rest}`);
  }
  return { ...record, notes, signals: wanted.map((lead) => there.get(lead)) };
}

/** Cut a record into windows, one after the other; those with gaps are left out. */
function windowsOf(record, seconds) {
  const { signals, rate, name } = record;
  const length = Math.round(seconds * rate);
  const count = Math.floor(signals[0].length / length);
  if (!count) {
    const lasts = Number((signals[0].length / rate).toPrecision(4));
    throw new Unreadable(`${name} lasts ${lasts} s (${signals[0].length} samples), but ${seconds} s (${length} samples) are needed; choose a longer record.`);
  }
  const starts = Array.from({ length: count }, (_, k) => k * length);
  const whole = starts.filter((start) => signals.every((values) => !values.subarray(start, start + length).some(Number.isNaN)));
  if (!whole.length) throw new Unreadable(`Each of the ${count} windows of ${seconds} s of ${name} has a gap; choose another record.`);
  const left = count - whole.length;
  const notes = left ? [`${left} of ${count} windows of ${seconds} s have gaps and are left out.`] : [];
  return { starts: whole, length, notes };
}
