"use strict";
// A deck of ECGs: the reader guesses a class, the page tells the truth and what the network said, and keeps the score.

const given = handedOver();
const NONE = { name: "none", words: "none of the four" };
const CHOICES = [NONE, ...given.classes];
const state = { order: given.cards.map((_, k) => k), at: 0, you: 0, network: 0, guessed: null };

function element(kind, text, properties = {}) {
  return Object.assign(document.createElement(kind), text === undefined ? {} : { textContent: text }, properties);
}

function card() {
  return given.cards[state.order[state.at]];
}

/** The samples of a card, 12 leads in mV; they are kept as whole microvolts of 16 bits. */
function leadsOf({ samples }) {
  const bytes = bytesOf(samples);
  const view = new DataView(bytes.buffer);
  const length = bytes.length / 2 / given.leads.length;
  return given.leads.map((_, lead) => Float64Array.from({ length }, (_, n) => view.getInt16(2 * (lead * length + n), true) / 1000));
}

/** "CD (conduction disturbance)". */
function inWords(name) {
  const { words } = CHOICES.find((each) => each.name === name);
  return name === NONE.name ? words : `${name} (${words})`;
}

function showCard() {
  const signals = leadsOf(card());
  state.guessed = null;
  byId("where").textContent = `Card ${state.at + 1} of ${given.cards.length}`;
  byId("answer").textContent = "";
  byId("told").hidden = true;
  drawPaper(byId("paper"), {
    lead: (wanted) => signals[given.leads.indexOf(wanted)],
    rate: given.rate,
    seconds: signals[0].length / given.rate,
    start: 0,
    synthetic: true,
    words: `Card ${state.at + 1}: a synthetic 12-lead ECG on paper. It can’t be told in words without giving the answer away.`,
  });
  byId("choices").querySelectorAll("button").forEach((button) => Object.assign(button, { disabled: false, className: "" }));
  byId("scroll").scrollLeft = 0;
}

function tellScore() {
  const played = state.at + (state.guessed === null ? 0 : 1);
  const cards = `${played} ${played === 1 ? "card" : "cards"}`;
  byId("score").textContent = `You ${state.you} : ${state.network} the network, after ${cards}.`;
}

function guess(name) {
  if (state.guessed !== null) return;
  const { truth, why, network } = card();
  state.guessed = name;
  state.you += name === truth;
  state.network += network === truth;
  for (const button of byId("choices").querySelectorAll("button")) {
    button.disabled = true;
    if (button.value === truth) button.className = "right";
    else if (button.value === name) button.className = "wrong";
  }
  const verdict = name === truth ? "Right" : "No";
  const told = `${verdict}: this heart has ${inWords(truth)}${why ? `, namely ${why}` : ""}. The network says ${inWords(network)}`;
  byId("answer").className = name === truth ? "right" : "wrong";
  byId("answer").textContent = `${told}, which is ${network === truth ? "right" : "wrong"}.`;
  showProbabilities();
  tellScore();
  const last = state.at === given.cards.length - 1;
  byId("next").textContent = last ? "Shuffle and play again" : "Next card";
  if (last) byId("answer").textContent += ` ${ending()}`;
  byId("told").hidden = false;
  byId("next").focus();
}

function ending() {
  if (state.you === state.network) return "That was the last card: you and the network are level.";
  return `That was the last card: ${state.you > state.network ? "you have won" : "the network has won"}.`;
}

function showProbabilities() {
  const { truth, probabilities } = card();
  document.querySelector("#said tbody").replaceChildren(...given.classes.map(({ name, words, threshold }, k) => {
    const row = element("tr");
    const head = element("th", undefined, { scope: "row" });
    head.append(element("strong", name), " ", element("span", words));
    const meter = element("div", undefined, { className: probabilities[k] >= threshold ? "meter over" : "meter" });
    meter.append(element("i"), element("b"));
    meter.firstChild.style.width = `${100 * probabilities[k]}%`;
    meter.lastChild.style.left = `${100 * threshold}%`;
    const bar = element("td", undefined, { className: "wide" });
    bar.setAttribute("aria-hidden", "true");
    bar.append(meter);
    const numbers = [probabilities[k].toFixed(2), threshold.toFixed(2), name === truth ? "yes" : "no"];
    row.append(head, bar, ...numbers.map((text) => element("td", text)));
    return row;
  }));
}

function next() {
  state.at += 1;
  if (state.at === given.cards.length) {
    Object.assign(state, { at: 0, you: 0, network: 0 });
    shuffle(state.order);
  }
  showCard();
  tellScore();
  byId("choices").querySelector("button").focus();
}

/** Fisher and Yates. */
function shuffle(order) {
  for (let k = order.length - 1; k > 0; k--) {
    const other = Math.floor(Math.random() * (k + 1));
    [order[k], order[other]] = [order[other], order[k]];
  }
}

byId("choices").append(...CHOICES.map(({ name, words }) => {
  const button = element("button", name === NONE.name ? words : `${name}: ${words}`, { type: "button", value: name });
  button.addEventListener("click", () => guess(name));
  return button;
}));
byId("next").addEventListener("click", next);
showCard();
tellScore();
