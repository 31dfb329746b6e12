// The terms of a query as chips, and the dialog that changes what is done with one.

import { isOwn } from "./bars.js";
import { byId, el, focusKey, number, plural } from "./dom.js";
import { isolated, plain, visible } from "./text.js";

const SHOWN = matchMedia("(max-width: 40rem)").matches ? 6 : 14;

/**
 * The chips of one answer, or, after an error, of what the person has set.
 * @param {{terms: object[], dropped: object[]}|null} answer
 * @param {Map} set what the state does with terms.
 * @param {object} more column: its number; open: all chips are shown; onToggle(term, change),
 *   onChange(term, facts), onOpen(open), onAdd(term).
 */
export function chips(answer, set, { column, open, onToggle, onChange, onOpen, onAdd }) {
  const explained = answer?.hits.some((hit) => hit.matches !== undefined);
  const all = listed(answer, set);
  const shown = open ? all : all.filter((each, i) => i < SHOWN || set.has(each.term));
  const items = shown.map((each) =>
    chip(each, set.get(each.term), { column, explained, onToggle, onChange }));
  return el(
    "div",
    { class: "terms" },
    el("ul", { class: "chips", "aria-label": "Query terms" }, items),
    el("div", { class: "terms-foot" },
      all.length > SHOWN
        ? el("button", {
            type: "button", class: "quiet", "aria-expanded": String(open),
            data: { key: `all-terms ${column}` }, on: { click: () => onOpen(!open) },
          }, open ? "Fewer terms" : `All ${plural(all.length, "term")}`)
        : null,
      adding(column, onAdd),
      explained && shown.some(isAdded)
        ? el("span", { class: "muted" }, "Dashed: not a word of the query")
        : null),
  );
}

// What was searched, heaviest first; then what was taken away; then what the model did not give.
function listed(answer, set) {
  const found = new Map();
  for (const each of answer?.terms ?? []) found.set(each.term, { word: "", ...each });
  for (const each of answer?.dropped ?? []) {
    if (!found.has(each.term)) found.set(each.term, { word: "", ...each, off: true });
  }
  for (const term of set.keys()) {
    if (!found.has(term)) found.set(term, { term, weight: null, word: "", off: true });
  }
  return [...found.values()];
}

const isAdded = ({ term, weight, word, off }) => weight !== null && !off && !isOwn(term, word);

// Before the hits are explained, nothing is known of the words behind the terms.
function chip(each, set, { column, explained, onToggle, onChange }) {
  const { term, weight, word, off } = each;
  const banned = set?.mode === "ban";
  const notes = [];
  if (banned) notes.push("off");
  else if (off && !set?.require) notes.push("left out");
  if (set?.mode === "boost") notes.push(`× ${number(set.value)}`);
  if (set?.mode === "pin") notes.push("pinned");
  if (set?.require) notes.push("required");
  const classes = ["chip"];
  if (banned || (off && !set?.require)) classes.push("off");
  if (set && !banned) classes.push("set");
  if (explained && isAdded(each)) classes.push("added");
  return el(
    "li",
    { class: classes.join(" ") },
    el("button", {
      type: "button", class: "toggle", "aria-pressed": String(!banned && !off),
      title: banned || off ? "Switch this term on" : "Switch this term off",
      data: { key: `chip ${column} ${term}` },
      on: { click: () => onToggle(term, toggled(each, banned)) },
    },
    isolated(term, { class: "name" }),
    weight === null ? null : [" ", el("span", { class: "weight" }, number(weight))],
    notes.length ? [" ", el("span", { class: "note" }, notes.join(", "))] : null),
    el("button", {
      type: "button", class: "change",
      "aria-label": `Change the term ${plain(term)}`, title: "Boost, pin, require",
      data: { key: `change ${column} ${term}` },
      on: { click: () => onChange(term, each) },
    }, "⋯"),
  );
}

// A term that the model did not think of, added by hand.
function adding(column, add) {
  const input = el("input", { id: `add-${column}`, autocomplete: "off", autocapitalize: "off",
    spellcheck: "false", size: "14", data: { key: `add ${column}` } });
  const form = el("form", { class: "adding" },
    el("label", { for: `add-${column}` }, "Add a term"), input,
    el("button", { type: "submit", class: "quiet" }, "Add"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const term = input.value.trim();
    if (term) add(term);
    else input.focus();
  });
  return form;
}

// What a click on a term does. One that was left out comes back with the weight the model gave it;
// one that is there by the person's word alone goes.
function toggled({ weight, off }, banned) {
  if (banned) return { mode: "" };
  if (weight === null) return { mode: "", require: false };
  return off ? { mode: "pin", value: Number(weight.toPrecision(3)) } : { mode: "ban" };
}

/** Let the person say what is done with a term; `done(change)` is called if they apply it. */
export function termDialog(each, set, done) {
  const dialog = byId("term-dialog");
  const form = dialog.querySelector("form");
  const error = byId("term-error");
  const factor = byId("term-factor");
  const weight = byId("term-weight");
  const { term } = each;
  byId("term-title").replaceChildren("The term ", el("bdi", {}, visible(term)));
  byId("term-facts").replaceChildren(...facts(each));
  form.elements.mode.value = set?.mode || "model";
  factor.value = set?.mode === "boost" ? set.value : 2;
  weight.value = set?.mode === "pin" ? set.value : Number((each.weight || 1).toPrecision(3));
  byId("term-require").checked = set?.require ?? false;
  error.textContent = "";
  factor.oninput = () => (form.elements.mode.value = "boost");
  weight.oninput = () => (form.elements.mode.value = "pin");
  byId("term-cancel").onclick = () => dialog.close();
  form.onsubmit = (event) => {
    const mode = form.elements.mode.value;
    const written = mode === "boost" ? factor : weight;
    const value = mode === "boost" || mode === "pin" ? written.valueAsNumber : 1;
    if (!(value > 0 && Number.isFinite(value))) {
      event.preventDefault();
      error.textContent = "Write a number above 0.";
      written.focus();
      return;
    }
    done({ mode: mode === "model" ? "" : mode, value, require: byId("term-require").checked });
  };
  // An answer may be drawn while the dialog is open: what opened it is another element then.
  const opener = document.activeElement;
  const back = () => opener.isConnected || focusKey(opener.dataset.key);
  dialog.addEventListener("close", back, { once: true });
  dialog.showModal();
  form.querySelector("input:checked").focus();
}

function facts({ weight, word, off }) {
  if (weight === null) return ["The model does not give this term to the query."];
  const from = word ? [", from the word “", isolated(word), "”"] : [];
  return off
    ? [`The model gives it the weight ${number(weight)}; it was left out.`]
    : [`It was searched with the weight ${number(weight)}`, ...from, "."];
}
