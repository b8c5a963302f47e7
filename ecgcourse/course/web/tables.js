"use strict";
// ECGs as tables of text, as ecgcourse.records.own_tables has it: separator, decimal sign and units are found out.

const TIME = new RegExp(
  "^(?:(?:elapsed[\\s_]*)?(?:time(?:[\\s_]*stamp)?|t)[\\s_/:]*[[(]?\\s*)?" +
    "(?<unit>s|sec|secs|seconds?|ms|msec|milliseconds?|us|[µμ]s|microseconds?)?\\s*[\\])]?$",
  "i",
);
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const MISSING = new Set(["", "nan", "-nan", "na", "n/a", "<na>", "#n/a", "#na", "null", "none"]);

function cellsOf(line, separator) {
  if (separator === null) return line.trim().split(/\s+/).map(bare);
  if (!line.includes('"')) return line.split(separator).map(bare);
  const cells = [];
  let cell = "";
  let quoted = false;
  for (const sign of line) {
    if (sign === '"') quoted = !quoted;
    else if (sign === separator && !quoted) {
      cells.push(cell);
      cell = "";
    } else cell += sign;
  }
  return [...cells, cell].map(bare);
}

function bare(cell) {
  return cell.replace(/^[\s'"]+|[\s'"]+$/g, "");
}

function separatorOf(lines) {
  const start = lines[0] ?? "";
  const found = ["\t", ";", ","].find((mark) => start.includes(mark));
  if (found) return found;
  const count = (line) => line.trim().split(/\s+/).length;
  // One column, whose numbers may have commas, or blanks between columns.
  return lines.length > 1 && count(start) > 1 && count(start) === count(lines[1]) ? null : ";";
}

/** Take a text apart into the names and units of its columns and the lines with numbers. */
function tableOf(name, text, units) {
  if (text.includes("\0") || !text.trim()) throw new Unreadable(`${name} ${text.trim() ? "is no text" : "is empty"}; choose another file.`);
  const comments = [];
  let lines = [];
  for (const line of text.split(/\r\n|\n|\r/)) {
    if (/^\s*(?:#|%|\/\/)/.test(line)) comments.push(line.replace(/^[\s#%/]+|[\s#%/]+$/g, ""));
    else if (/[^\s,;"']/.test(line)) lines.push(line);
  }
  const separator = separatorOf(lines);
  const isNumber = (cell) => MISSING.has(cell.toLowerCase()) || NUMBER.test(cell.replace(",", "."));
  let names = [];
  if (lines.length && !cellsOf(lines[0], separator).every(isNumber)) {
    names = cellsOf(lines[0], separator);
    lines = lines.slice(1);
  } else if (comments.length && cellsOf(comments.at(-1), separator).some(leadOf)) {
    names = cellsOf(comments.at(-1), separator);
  }
  let own = [];
  if (names.length && lines.length && cellsOf(lines[0], separator).some((cell) => unitOf(cell, units))) {
    own = cellsOf(lines[0], separator);
    lines = lines.slice(1);
  }
  if (!names.length) throw new Unreadable(`${name} has no header with the names of its leads; add one, such as ${LEADS.join(",")}.`);
  if (!lines.length) throw new Unreadable(`${name} holds no samples; choose another file.`);
  return { names, units: names.map((_, k) => (unitOf(own[k] ?? "", units) ? own[k] : null)), lines, separator };
}

/** Read a table; `told.rate` settles the unit of times that have none. */
function readTable(name, bytes, told, units) {
  const table = tableOf(name, textOf(bytes), units);
  const { names, lines, separator } = table;
  const comma = separator !== "," && lines.some((line) => line.includes(","));
  const times = names.flatMap((each, k) => (each && TIME.test(each) ? [k] : []));
  if (times.length > 1) throw new Unreadable(`${name} has two columns of times; keep one of them.`);
  const kept = names.flatMap((each, k) => (!times.includes(k) && leadOf(each) ? [k] : []));
  const columns = new Map(kept.map((k) => [k, new Float64Array(lines.length)]));
  const clock = [];
  lines.forEach((line, row) => {
    const cells = cellsOf(line, separator);
    if (cells.length > names.length) {
      throw new Unreadable(`${name} has ${names.length} columns, but ${cells.length} in its line of numbers ${row + 1}; correct it.`);
    }
    if (times.length) clock.push(secondsOf(cells[times[0]] ?? ""));
    for (const [k, values] of columns) {
      const cell = cells[k] ?? "";
      const plain = comma ? cell.replace(",", ".") : cell;
      if (!NUMBER.test(plain) && !MISSING.has(plain.toLowerCase())) {
        throw new Unreadable(`Column ${shown(names[k])} of ${name} has ${shown(cell)}, which is no number; correct it.`);
      }
      values[row] = NUMBER.test(plain) ? Number(plain) : NaN;
    }
  });
  if (cellsOf(lines.at(-1), separator).length < cellsOf(lines[0], separator).length) {
    throw new Unreadable(`${name} ends with fewer columns than it begins with, so it is cut short; get it again.`);
  }
  const rate = times.length ? rateOfTimes(name, names[times[0]], clock, told.rate) : null;
  const found = [...columns].map(([k, values]) => ({ name: names[k], unit: table.units[k], values }));
  const rest = names.filter((_, k) => !times.includes(k) && !columns.has(k)).map((each) => ({ name: each, values: new Float64Array(0) }));
  return { rate, signals: [...found, ...rest], notes: [] };
}

/** The number in [0:01.250], which is 1.25 s. */
function secondsOf(cell) {
  const parts = cell.replace(/^\[|\]$/g, "").split(":").map((part) => part.trim().replace(",", "."));
  return parts.every((part) => NUMBER.test(part)) ? parts.reduce((sum, part) => 60 * sum + Number(part), 0) : NaN;
}

/** Sampling rate in Hz from a column of times, which may be rounded but not irregular. */
function rateOfTimes(name, column, times, given) {
  const steps = times.slice(1).map((time, n) => time - times[n]);
  const middle = steps.length ? median(steps) : NaN;
  if (!times.every(Number.isFinite) || !(middle > 0)) {
    throw new Unreadable(`Column ${shown(column)} of ${name} has no times that increase; correct or remove it.`);
  }
  const step = (times.at(-1) - times[0]) / steps.length;
  const whole = (value) => Math.abs(value - Math.round(value)) <= 1e-6;
  const digits = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].find((d) => times.every((time) => whole(time * 10 ** d))) ?? 9;
  const allowed = Math.max(1.01 * 10 ** -digits, 1e-3 * step);
  const bent = times.some((time, n) => Math.abs(time - (times[0] + step * n)) > allowed);
  // A sample that is missing makes one step twice as long, however finely times are rounded.
  if (bent || steps.some((one) => one < middle / 2 || one > 1.5 * middle)) {
    throw new Unreadable(`Column ${shown(column)} of ${name} doesn’t go by equal steps; bring the samples to equal steps.`);
  }
  const unit = (TIME.exec(column).groups.unit ?? "").toLowerCase();
  const perSecond = /^(ms|mil)/.test(unit) ? 1e3 : /^(u|µ|μ|mic)/.test(unit) ? 1e6 : 1;
  const rates = unit ? [perSecond / step] : [1 / step, 1e3 / step];
  const unsure = 10 ** -digits / Math.abs(times.at(-1) - times[0]) + 1e-9;
  const close = (one, other) => Math.abs(one - other) <= unsure * Math.max(Math.abs(one), Math.abs(other));
  const agreed = given && rates.find((one) => close(one, given));
  if (agreed) return given;
  if (!unit && rates[0] < 20) {
    throw new Question("rate", `Column ${shown(column)} of ${name} goes by ${Number(step.toPrecision(4))}, too much for seconds.`);
  }
  return close(rates[0], Math.round(rates[0])) ? Math.round(rates[0]) : rates[0];
}

/** Read what somebody gave: `files` is a Map from name to bytes. Unreadable says in words what is wrong. */
function readFiles(files, told, numbers) {
  const names = [...files.keys()];
  const kind = (name) => /\.[^.]*$/.exec(name.toLowerCase())?.[0] ?? "";
  const headers = names.filter((name) => kind(name) === ".hea");
  const tables = names.filter((name) => [".csv", ".tsv", ".txt"].includes(kind(name)));
  if (headers.length + tables.length > 1) throw new Unreadable("Give one record at a time.");
  if (headers.length) return toRecord(headers[0], readWfdb(headers[0], files), told, numbers);
  if (tables.length) return toRecord(tables[0], readTable(tables[0], files.get(tables[0]), told, numbers.units), told, numbers);
  const data = names.find((name) => [".dat", ".mat"].includes(kind(name)));
  if (data) throw new Unreadable(`${data} says nothing about itself; choose its header, the .hea file, together with it.`);
  throw new Unreadable(`${names[0]} is neither CSV nor WFDB; the package reads more kinds: python -m ecgcourse predict signals FILE.`);
}
