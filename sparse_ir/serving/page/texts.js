// Two texts compared: the score, the terms that make it, and what only one of them has.

import { get } from "./api.js";
import { bars } from "./bars.js";
import { failure, modelName } from "./columns.js";
import { byId, el, number, plural, replace, sentences } from "./dom.js";
import { isolated, marked, placed } from "./text.js";

const NAMED = 40;

/** Compare the texts with the model of every chosen index. */
export function compare(state, chosen, signal) {
  return Promise.all(chosen.map(async (index) => {
    const params = new URLSearchParams({ q: state.a, text: state.b });
    if (index.name) params.append("index", index.name);
    try {
      return { index, answer: await get("explain", params, signal) };
    } catch (error) {
      if (error.name === "AbortError" || error.status === undefined) throw error;
      return { index, error };
    }
  }));
}

export const areTexts = (state) => state.a.trim() !== "" && state.b.trim() !== "";

/** Show the results of `compare` and return what the live region says. */
export function showComparison(results, state, again) {
  replace(byId("results"), el("div", { class: results.length > 1 ? "columns two" : "columns" },
    results.map((result, column) => comparison(result, state, column, again))));
  return sentences(results.map(({ index, answer, error }) => {
    const name = results.length > 1 ? `${index.name}: ` : "";
    if (error) return `${name}${error.message}`;
    return `${name}score ${number(answer.score)}, ${plural(answer.matches.length, "shared term")}`;
  }));
}

function comparison({ index, answer, error }, state, column, again) {
  const head = el("header", { class: "column-head" },
    el("h2", { id: `column-${column}` }, isolated(index.name)),
    index.model ? el("p", { class: "muted about" }, modelName(index.model)) : null);
  return el("section", { class: "column", "aria-labelledby": `column-${column}` }, head,
    error ? failure(error, again, column) : compared(answer, state, column));
}

function compared({ score, query, document: other, matches }, state, column) {
  const sides = [{ text: state.a, ...side(query) }, { text: state.b, ...side(other) }];
  const [a, b] = sides.map(({ terms }) => new Map(terms.map((term) => [term.term, term])));
  const shared = new Map(matches.map(({ term }, i) => [term, i]));
  const found = matches.length
    ? bars(matches, {
        scale: Math.max(...matches.map((match) => match.contribution)),
        queryWord: ({ term }) => a.get(term)?.word ?? "",
        documentWord: ({ term }) => b.get(term)?.word ?? "",
        score, key: `pair ${column}`,
      })
    : el("p", { class: "notice" }, "The texts share no term, so the score is 0.");
  return [
    el("p", { class: "pair-score" }, "Score ", el("strong", {}, number(score))),
    found,
    sides.map(({ text, terms, cut }, i) => read(text, terms, cut, shared, i === 0 ? "A" : "B")),
    only("Only in A", a, shared, column),
    only("Only in B", b, shared, column),
  ];
}

const side = (given) => (Array.isArray(given)
  ? { terms: given, cut: false } : { terms: given?.terms ?? [], cut: given?.cut ?? false });

function read(text, terms, cut, shared, name) {
  const places = placed(text, terms.filter(({ term }) => shared.has(term))
    .map(({ term, start, end }) => ({ start, end, match: shared.get(term) })));
  return [
    el("h3", {}, `Text ${name}`),
    el("p", { class: "passage whole", dir: "auto" }, marked(text, places)),
    cut
      ? el("p", { class: "muted" }, "It is longer than the model reads; the rest did not count.")
      : null,
  ];
}

function only(label, terms, shared, column) {
  const rest = [...terms.values()].filter(({ term }) => !shared.has(term));
  if (!rest.length) return null;
  const summary = `${label}: ${plural(rest.length, "term")}`;
  const named = rest.slice(0, NAMED).map(({ term, weight }) =>
    el("li", { class: "chip" },
      el("span", { class: "toggle" }, isolated(term, { class: "name" }), " ",
        el("span", { class: "weight" }, number(weight)))));
  return el("details", {},
    el("summary", { data: { key: `${label} ${column}` } }, summary),
    el("ul", { class: "chips" }, named,
      rest.length > NAMED && el("li", { class: "muted" }, `and ${rest.length - NAMED} more`)));
}
