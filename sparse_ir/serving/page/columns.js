// The answer of one index: its head, the query's terms, its hits, or what went wrong.

import { chips } from "./chips.js";
import { duration, el, number, plural } from "./dom.js";
import { hitCard } from "./hits.js";
import { isolated } from "./text.js";

/**
 * One column of results.
 * @param {object} result {index, answer} or {index, error}; `index` as /indexes describes it.
 * @param {object} more column: 0 or 1; other: the result beside it, or null; state, actions.
 */
export function resultColumn(result, { column, other, state, actions, openTerms }) {
  const { index, answer, error, unexplained } = result;
  const ranks = other?.answer && new Map(other.answer.hits.map((hit) => [hit.doc_id, hit.rank]));
  const head = el("header", { class: "column-head" },
    el("h2", { id: `column-${column}` }, isolated(index.name)), described(index, answer));
  const terms = answer || state.terms.size
    ? chips(answer ?? null, state.terms, {
        column, open: openTerms.has(column),
        onToggle: actions.toggle, onChange: actions.change,
        onOpen: (open) => actions.openTerms(column, open), onAdd: actions.add,
      })
    : null;
  const unknown = unexplained
    && failure(unexplained, actions.again, column, "The matching terms are not known: ");
  const body = error ? failure(error, actions.again, column) : list(answer, {
    column, state,
    twin: (hit) => ranks && (ranks.has(hit.doc_id)
      ? { rank: ranks.get(hit.doc_id), index: other.index.name } : null),
    onTwin: (hit) => actions.twin(1 - column, ranks.get(hit.doc_id)),
  });
  return el("section", { class: "column", "aria-labelledby": `column-${column}` },
    head, terms, unknown, body);
}

function described(index, answer) {
  const facts = [];
  if (index.engine) facts.push(isolated(index.engine));
  if (index.model) facts.push(modelName(index.model));
  if (index.query_encoder && index.query_encoder !== "model") {
    facts.push(isolated(`queries: ${index.query_encoder}`));
  }
  if (Number.isFinite(index.documents)) facts.push(plural(index.documents, "document"));
  if (answer?.took_ms) facts.push(took(answer.took_ms));
  return el("p", { class: "muted about" }, facts.map((fact) => el("span", {}, fact)));
}

/** A model by its name, or by the last part of its path. */
export function modelName(model) {
  const steps = model.split(/[/\\]/).filter(Boolean);
  return isolated(steps.length > 2 ? steps[steps.length - 1] : model); // a hub's name has two
}

function took({ encode, search, explain, total }) {
  const parts = [["encode", encode], ["search", search], ["explain", explain]]
    .filter(([, time]) => time >= 0.05)
    .map(([name, time]) => `${name} ${duration(time)}`);
  return `${duration(total ?? 0)}${parts.length ? ` (${parts.join(", ")})` : ""}`;
}

function list(answer, { column, state, twin, onTwin }) {
  if (!answer.hits.length) {
    if (!answer.terms.length && !state.hybrid) {
      return el("p", { class: "notice" },
        "Nothing was searched: no term of this query is left. Write other words, or switch terms ",
        "on.");
    }
    return el("p", { class: "notice" }, state.offset > 0
      ? "There are no more hits. Go back a page."
      : state.filters.length || state.terms.size || state.lexical
        ? "No document matches. Remove a filter, or set the terms back."
        : "No document matches. Write other words.");
  }
  const matches = answer.hits.flatMap((hit) => hit.matches ?? []);
  const scale = Math.max(0, ...matches.map((match) => match.contribution));
  const queryWords = new Map(answer.terms.map(({ term, word }) => [term, word ?? ""]));
  return el("ol", { class: "hits" }, answer.hits.map((hit) => el("li", {}, hitCard(hit, {
    column, scale, queryWords, twin: twin(hit), onTwin: () => onTwin(hit),
  }))));
}

/** What went wrong, in words, with a way on. */
export function failure(error, again, column = 0, before = "") {
  return el("div", { class: "notice error" }, el("p", {}, before, isolated(error.message)),
    error.again ? el("button", {
      type: "button", data: { key: `again ${column}` }, on: { click: again },
    }, "Try again") : null);
}
