// The search view: one index, or two side by side.

import { get } from "./api.js";
import { termDialog } from "./chips.js";
import { resultColumn } from "./columns.js";
import { byId, duration, el, plural, replace, sentences } from "./dom.js";
import { focusHit } from "./keys.js";
import { changed, request } from "./state.js";

/**
 * Ask every chosen index at the same time; each result has its answer or its error. To explain hits
 * takes a model much longer than to find them, so it is asked for apart.
 */
export function ask(state, chosen, signal, { explain }) {
  return Promise.all(chosen.map(async (index) => {
    try {
      return { index, answer: await get("search", request(state, index.name, explain), signal) };
    } catch (error) {
      if (error.name === "AbortError" || error.status === undefined) throw error;
      return { index, error };
    }
  }));
}

/** Whether there is anything to ask: words, or a term pinned by hand. */
export const isAsked = (state) =>
  state.q.trim() !== "" || [...state.terms.values()].some(({ mode }) => mode === "pin");

const openTerms = new Set();

/** The explained results, or those without, with what kept them from being explained. */
export const merged = (found, explained) =>
  found.map((result, i) => (explained[i].error && result.answer
    ? { ...result, unexplained: explained[i].error } : explained[i]));

/** Show the results of `ask` and return what the live region says. */
export function showResults(results, state, { change, again }) {
  const set = (term, what) => change({ terms: changed(state.terms, term, what), offset: 0 });
  const actions = {
    again,
    toggle: set,
    add: (term) => set(term, { mode: "pin", value: 1 }),
    change: (term, each) =>
      termDialog(each, state.terms.get(term), (what) => set(term, what)),
    openTerms: (column, open) => {
      if (open) openTerms.add(column);
      else openTerms.delete(column);
      show();
    },
    twin: (column, rank) => focusHit(column, rank),
  };
  const columns = () => results.map((result, column) =>
    resultColumn(result, { column, other: results[1 - column], state, actions, openTerms }));
  const show = () => replace(byId("results"),
    setTerms(state, change),
    el("div", { class: results.length > 1 ? "columns two" : "columns" }, columns()),
    pages(results, state, change));
  show();
  return summary(results, state);
}

function summary(results, state) {
  const told = results.map(({ index, answer, error }) => {
    const name = results.length > 1 ? `${index.name}: ` : "";
    if (error) return `${name}${error.message}`;
    const { hits } = answer;
    const later = state.offset > 0 && hits.length > 0;
    const range = later ? `, ${hits[0].rank} to ${hits[hits.length - 1].rank}` : "";
    const time = duration(answer.took_ms?.total ?? 0);
    return `${name}${plural(hits.length, "hit")}${range} in ${time}`;
  });
  const [a, b] = results.map(({ answer }) => new Set(answer?.hits.map((hit) => hit.doc_id) ?? []));
  if (b && !results.some(({ error }) => error)) {
    told.push(`${[...a].filter((id) => b.has(id)).length} in both`);
  }
  return sentences(told);
}

function setTerms(state, change) {
  if (!state.terms.size) return null;
  return el("p", { class: "set-terms" }, `${plural(state.terms.size, "term")} changed by hand. `,
    el("button", {
      type: "button", class: "quiet", data: { key: "reset-terms" },
      on: { click: () => change({ terms: new Map(), offset: 0 }) },
    }, "Set all back"));
}

function pages(results, state, change) {
  const { offset } = state;
  const k = results.find(({ answer }) => answer?.k)?.answer.k ?? state.k ?? 10;
  const more = results.some(({ answer }) => answer?.hits.length === k);
  if (!more && offset === 0) return null;
  const button = (label, disabled, to) => el("button", {
    type: "button", disabled, data: { key: label },
    on: { click: () => change({ offset: Math.max(0, to) }, { focus: true }) },
  }, label);
  return el("nav", { class: "pages", "aria-label": "Pages" },
    button("Previous", offset === 0, offset - k),
    el("span", { class: "muted" }, `Hits ${offset + 1} to ${offset + k}`),
    button("Next", !more, offset + k));
}
