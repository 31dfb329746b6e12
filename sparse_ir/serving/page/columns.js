// The answer of one index: its head, the query's terms, its hits, or what went wrong.

import { chips } from "./chips.js";
import { el, number, plural } from "./dom.js";
import { hitCard } from "./hits.js";
import { isolated } from "./text.js";

/**
 * One column of results.
 * @param {object} result {index, answer} or {index, error}; `index` as /indexes describes it.
 * @param {object} more column: 0 or 1; other: the result beside it, or null; state, actions.
 */
export function resultColumn(result, { column, other, state, actions, openTerms }) {
  const { index, answer, error } = result;
  const ranks = other?.answer && new Map(other.answer.hits.map((hit) => [hit.doc_id, hit.rank]));
  const head = el("header", { class: "column-head" },
    el("h2", { id: `column-${column}` }, isolated(index.name)), described(index, answer));
  const terms = answer || state.terms.size
    ? chips(answer ?? null, state.terms, {
        column, open: openTerms.has(column),
        onToggle: actions.toggle, onChange: actions.change,
        onOpen: (open) => actions.openTerms(column, open),
      })
    : null;
  const body = error ? failure(error, actions.again, column) : list(answer, {
    column, state,
    twin: (hit) => ranks && (ranks.has(hit.doc_id)
      ? { rank: ranks.get(hit.doc_id), index: other.index.name } : null),
    onTwin: (hit) => actions.twin(1 - column, ranks.get(hit.doc_id)),
  });
  return el("section", { class: "column", "aria-labelledby": `column-${column}` },
    head, terms, adding(column, actions.add), body);
}

function described(index, answer) {
  const facts = [];
  if (index.engine) facts.push(isolated(index.engine));
  if (index.model) facts.push(isolated(index.model));
  if (index.query_encoder && index.query_encoder !== "model") facts.push(isolated(`queries: ${index.query_encoder}`));
  if (Number.isFinite(index.documents)) facts.push(plural(index.documents, "document"));
  if (answer?.took_ms) facts.push(took(answer.took_ms));
  return el("p", { class: "muted about" }, facts.map((fact) => el("span", {}, fact)));
}

function took({ encode, search, explain, total }) {
  const parts = [["encode", encode], ["search", search], ["explain", explain]]
    .filter(([, time]) => Number.isFinite(time) && time > 0)
    .map(([name, time]) => `${name} ${number(time)}`);
  return `${number(total ?? 0)} ms${parts.length ? ` (${parts.join(", ")})` : ""}`;
}

function list(answer, { column, state, twin, onTwin }) {
  if (!answer.terms.length) {
    return el("p", { class: "notice" },
      "Nothing was searched: no term of this query is left. Write other words, or switch terms on.");
  }
  if (!answer.hits.length) {
    return el("p", { class: "notice" }, state.offset > 0
      ? "There are no more hits. Go back a page."
      : state.filters.length || state.terms.size || state.lexical
        ? "No document matches. Remove a filter, or set the terms back."
        : "No document matches. Write other words.");
  }
  const scale = Math.max(0, ...answer.hits.flatMap((hit) => (hit.matches ?? []).map((m) => m.contribution)));
  const queryWords = new Map(answer.terms.map(({ term, word }) => [term, word ?? ""]));
  return el("ol", { class: "hits" }, answer.hits.map((hit) => el("li", {}, hitCard(hit, {
    column, scale, queryWords, twin: twin(hit), onTwin: () => onTwin(hit),
  }))));
}

/** What went wrong, in words, with a way on. */
export function failure(error, again, column = 0) {
  return el("div", { class: "notice error" }, el("p", {}, isolated(error.message)),
    error.again ? el("button", {
      type: "button", data: { key: `again ${column}` }, on: { click: again },
    }, "Try again") : null);
}

// A term that the model did not think of, added by hand.
function adding(column, add) {
  const input = el("input", { id: `add-${column}`, autocomplete: "off", autocapitalize: "off",
    spellcheck: "false", size: "14", data: { key: `add ${column}` } });
  const form = el("form", { class: "adding" }, el("label", { for: `add-${column}` }, "Add a term"), input,
    el("button", { type: "submit", class: "quiet" }, "Add"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const term = input.value.trim();
    if (term) add(term);
    else input.focus();
  });
  return form;
}
