"use strict";
// A file comes in; paper, images, probabilities and seconds come out. Nothing is asked of any server.

const given = handedOver();
const net = withWeights(given.layers, floats(given.weights));
const NAMES = { GAF: "Gramian angular field", MTF: "Markov transition field, 5 times brighter", RP: "recurrence plot" };
// What was given and not yet read, what its owner said of it, the record on show with its windows, and what was found.
const state = { files: new Map(), told: {}, record: null, windows: null, answers: [], found: null, target: 0, run: 0 };

function element(kind, text, properties = {}) {
  return Object.assign(document.createElement(kind), text === undefined ? {} : { textContent: text }, properties);
}

// --- a window of the record

function signalsAt(start) {
  const { rate, signals } = state.record;
  return signals.map((values) => resample(values.subarray(start, start + state.windows.length), rate, given.rate));
}

function inputOf(signals) {
  return signals.map((values) => prepared(values, given.sections, zScore));
}

/** Logits and probabilities of window `k`, computed once. */
function answerOf(k) {
  if (!state.answers[k]) {
    const asked = askWindow(inputOf(signalsAt(state.windows.starts[k])), net, given);
    state.answers[k] = { ...asked, probabilities: probabilitiesOf(asked.logits, given.classes) };
  }
  return state.answers[k];
}

/** The record's probabilities: those of its windows, averaged as calibrated logits. */
function ofWholeRecord() {
  return probabilitiesOf(given.classes.map((_, k) => average(state.answers.map(({ logits }) => logits[k]))), given.classes);
}

function showWindow(k) {
  const start = state.windows.starts[k];
  const signals = signalsAt(start);
  const answer = answerOf(k);
  state.found = { ...answer, start, window: k, effects: occlusion(inputOf(signals), net, given, answer) };
  const over = given.classes.map(({ threshold }, each) => answer.probabilities[each] / threshold);
  state.target = over.indexOf(Math.max(...over));
  byId("target").querySelectorAll("input")[state.target].checked = true;
  byId("window").value = k;
  tellWindow(k);
  showAnswers();
  showSeconds();
  showImages(signals);
}

function seconds(start) {
  return Number((start / state.record.rate).toFixed(2));
}

function tellWindow(k) {
  const words = `${k + 1} of ${state.windows.starts.length}, from ${seconds(state.windows.starts[k])} s`;
  byId("at").textContent = words;
  byId("window").setAttribute("aria-valuetext", words);
}

// --- what is shown

function showAnswers() {
  const { probabilities } = state.found;
  const count = state.windows.starts.length;
  const complete = Object.keys(state.answers).length === count;
  const whole = complete ? ofWholeRecord() : null;
  for (const part of document.querySelectorAll(".record")) part.hidden = count === 1;
  byId("of-window").textContent = count === 1 ? "probability" : "this window";
  const rows = given.classes.map(({ name, words, threshold }, k) => {
    const row = element("tr");
    const head = element("th", undefined, { scope: "row" });
    head.append(element("strong", name), " ", element("span", words));
    const over = (whole ?? probabilities)[k] >= threshold;
    const meter = element("div", undefined, { className: over ? "meter over" : "meter" });
    meter.append(element("i"), element("b"));
    meter.firstChild.style.width = `${100 * (whole ?? probabilities)[k]}%`;
    meter.lastChild.style.left = `${100 * threshold}%`;
    const bar = element("td", undefined, { className: "wide" });
    bar.setAttribute("aria-hidden", "true");
    bar.append(meter);
    row.append(head, bar, element("td", probabilities[k].toFixed(3)));
    if (count > 1) row.append(element("td", whole ? whole[k].toFixed(3) : "…", { className: "record" }));
    row.append(element("td", threshold.toFixed(3)), element("td", over ? "yes" : "no"));
    row.dataset.probability = probabilities[k];
    row.dataset.whole = whole ? whole[k] : "";
    return row;
  });
  document.querySelector("#said tbody").replaceChildren(...rows);
  byId("mean").textContent = complete
    ? `The whole record: from the mean logits of its ${count} windows; that is what the last column goes by.`
    : `The whole record: ${Object.keys(state.answers).length} of ${count} windows computed.`;
}

function showSeconds() {
  const { record, windows, found, target } = state;
  const effects = found.effects.map((each) => each[target]);
  const { name } = given.classes[target];
  const most = effects.indexOf(Math.max(...effects));
  const told = effects[most] > 0
    ? `Second ${most} to ${most + 1} speaks most for ${name}: without it, its logit is ${written(effects[most], 2)} lower.`
    : `No second speaks for ${name}.`;
  byId("most").textContent = told;
  drawPaper(byId("paper"), {
    lead: (wanted) => record.signals[given.leads.indexOf(wanted)].subarray(found.start, found.start + windows.length),
    rate: record.rate,
    seconds: given.seconds,
    start: seconds(found.start),
    synthetic: record.synthetic,
    effects,
    words: `12-lead ECG on paper, ${given.seconds} s. ${told}`,
  });
  const head = element("tr");
  head.append(...["second", ...given.classes.map((each) => each.name)].map((text) => element("th", text, { scope: "col" })));
  document.querySelector("#effects thead").replaceChildren(head);
  document.querySelector("#effects tbody").replaceChildren(...found.effects.map((row, second) => {
    const line = element("tr");
    line.append(element("th", `${second}–${second + 1}`, { scope: "row" }), ...row.map((value) => element("td", signed(value))));
    line.dataset.effects = JSON.stringify(row);
    return line;
  }));
}

function showImages(signals) {
  const { leads, size, bins, mtfWhite } = given.images;
  const parts = [element("div"), ...Object.entries(NAMES).map(([, words]) => element("div", words))];
  for (const lead of leads) {
    const x = prepared(signals[given.leads.indexOf(lead)], given.sections, minMax);
    parts.push(element("div", lead));
    for (const [field, make] of Object.entries(FIELDS)) {
      const canvas = element("canvas", undefined, { className: field === "MTF" && mtfWhite >= 5 ? "brighter" : "" });
      canvas.dataset.image = `${lead} ${field}`;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${NAMES[field]} of lead ${lead}`);
      paint(canvas, greyLevels(make(x, { bins, mtfWhite }), x.length, size), size);
      parts.push(canvas);
    }
  }
  byId("images").replaceChildren(...parts);
  byId("lasts").textContent = `${given.seconds} s`;
}

// --- a record comes in

function say(message) {
  byId("message").textContent = message;
}

function ask(question) {
  byId("asked").hidden = false;
  byId("question").textContent = question.message;
  byId("ask-rate").hidden = question.asks !== "rate";
  byId("ask-unit").hidden = question.asks !== "unit";
  byId("unit").value = question.likely ?? "mV";
  state.asks = question.asks;
  byId(question.asks).focus();
}

/** Read what was given, show it, or say what is wrong with it. */
function take() {
  state.run += 1;
  say("");
  byId("asked").hidden = true;
  try {
    const read = withLeads(readFiles(state.files, state.told, given), given.leads);
    const windows = windowsOf(read, given.seconds);
    read.signals.forEach((values, k) => {
      const [lowest, highest] = range(values);
      if (lowest === highest) read.notes.push(`Lead ${given.leads[k]} is flat: it is set to zeros.`);
    });
    Object.assign(state, { record: read, windows, answers: [], files: new Map() });
    showRecord([...read.notes, ...windows.notes]);
  } catch (error) {
    byId("found").hidden = true;
    if (error instanceof Question) ask(error);
    else say(error instanceof Unreadable ? error.message : `These files can’t be read: they are damaged or of another kind (${error.message}).`);
  }
}

function showRecord(notes) {
  const { record, windows } = state;
  const lasts = Number((record.signals[0].length / record.rate).toPrecision(6));
  byId("title").textContent = `${record.name}: ${Number(record.rate.toPrecision(6))} Hz, ${lasts} s${record.synthetic ? ", synthetic" : ""}`;
  byId("notes").replaceChildren(...notes.map((note) => element("li", note)));
  byId("windows").hidden = windows.starts.length === 1;
  byId("window").max = windows.starts.length - 1;
  byId("found").hidden = false;
  showWindow(0);
  const verdict = given.classes.map(({ name }, k) => `${name} ${state.found.probabilities[k].toFixed(2)}`).join(", ");
  byId("spoken").textContent = `${record.name} is read. ${verdict}.`;
  askTheRest(state.run, 0);
}

/** The other windows, one at a time, so that the page stays awake; another record ends it. */
function askTheRest(run, k) {
  if (run !== state.run || k >= state.windows.starts.length) return;
  answerOf(k);
  showAnswers();
  setTimeout(() => askTheRest(run, k + 1));
}

async function receive(list) {
  const files = [...list];
  if (!files.length) return;
  const large = files.find((file) => file.size > LARGEST_FILE);
  if (large) {
    say(`${large.name} has ${Math.ceil(large.size / 2 ** 20)} MB; this page takes ${LARGEST_FILE / 2 ** 20} MB: cut it, or use the package.`);
    return;
  }
  try {
    // A header given first and its data later belong together.
    const pair = state.files.size === 1 && files.length === 1 ? [...state.files] : [];
    const read = await Promise.all(files.map(async (file) => [file.name, new Uint8Array(await file.arrayBuffer())]));
    Object.assign(state, { files: together(pair, read), told: {} });
  } catch {
    say("The browser can’t open that; choose files, not a folder.");
    return;
  }
  byId("example").value = "";
  take();
}

/** What was given before, if what is given now is the other half of a WFDB pair. */
function together(before, now) {
  const isHeader = ([name]) => /\.hea$/i.test(name);
  const isData = ([name]) => /\.(dat|mat)$/i.test(name);
  const halves = before.length && ((isHeader(before[0]) && isData(now[0])) || (isData(before[0]) && isHeader(now[0])));
  return new Map([...(halves ? before : []), ...now]);
}

function takeExample(k) {
  const { name, header, data } = given.examples[k];
  const files = new Map([[`${name}.hea`, new TextEncoder().encode(header)], [`${name}.dat`, bytesOf(data)]]);
  Object.assign(state, { files, told: {} });
  byId("files").value = "";
  take();
}

function listenToDrops() {
  const over = (on) => byId("drop").classList.toggle("over", on);
  // Anywhere on the page: a file that misses the frame would replace the page.
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    over(true);
  });
  document.addEventListener("dragleave", () => over(false));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    receive(event.dataTransfer.files);
  });
}

function start() {
  byId("unit").replaceChildren(...Object.keys(given.units).map((unit) => new Option(unit)));
  byId("example").replaceChildren(new Option("choose …", ""), ...given.examples.map(({ words }, k) => new Option(words, k)));
  byId("card").replaceChildren(...given.card.map((paragraph) => element("p", paragraph)));
  byId("target").append(...given.classes.map(({ name }, k) => {
    const label = element("label");
    label.append(element("input", undefined, { type: "radio", name: "target", value: k }), ` ${name}`);
    return label;
  }));
  byId("target").addEventListener("change", (event) => {
    state.target = Number(event.target.value);
    showSeconds();
  });
  // Else a file that was mended and chosen again would be no change.
  byId("files").addEventListener("click", (event) => (event.target.value = ""));
  byId("files").addEventListener("change", (event) => receive(event.target.files));
  byId("example").addEventListener("change", (event) => event.target.value && takeExample(Number(event.target.value)));
  byId("window").addEventListener("input", (event) => tellWindow(Number(event.target.value)));
  byId("window").addEventListener("change", (event) => showWindow(Number(event.target.value)));
  byId("asked").addEventListener("submit", (event) => {
    event.preventDefault();
    state.told = { ...state.told, [state.asks]: state.asks === "rate" ? byId("rate").valueAsNumber : byId("unit").value };
    take();
  });
  listenToDrops();
  byId("example").value = "0";
  takeExample(0);
}

start();
