// One hit: rank, title, the parts of its text that matched, and why.

import { bars, lightUp } from "./bars.js";
import { parts } from "./clips.js";
import { el, number, plural } from "./dom.js";
import { isolated, marked, placed } from "./text.js";

/**
 * A hit as an article that can have the focus.
 * @param {object} hit as the server gives it, with `matches`.
 * @param {object} more
 *   column: its number, 0 or 1; scale: the contribution of a whole bar; queryWords: term -> word;
 *   twin: where the same document is in the other column, {rank, index}, null if it is not there,
 *   undefined without another column; onTwin: goes there.
 */
export function hitCard(hit, { column, scale, queryWords, twin, onTwin }) {
  const matches = hit.matches ?? [];
  const key = `hit ${column} ${hit.doc_id}`;
  const title = hit.title || hit.doc_id;
  const places = {
    title: hit.title ? placed(hit.title, wordsIn(matches, "title")) : [],
    text: placed(hit.text ?? "", wordsIn(matches, "text")),
  };
  const heading = el("h3", { id: `hit-${column}-${hit.rank}` },
    el("bdi", { dir: "auto" }, marked(title, places.title)));
  const card = el(
    "article",
    {
      class: twin ? "hit both" : "hit",
      tabindex: "0",
      "aria-labelledby": `rank-${column}-${hit.rank} hit-${column}-${hit.rank}`,
      data: { key, column, rank: hit.rank },
    },
    el("div", { class: "hit-head" },
      el("span", { class: "rank", id: `rank-${column}-${hit.rank}` }, `${hit.rank}.`),
      heading,
      el("span", { class: "score" }, el("span", { class: "hidden" }, "score "), number(hit.score))),
    twinNote(twin, onTwin, key),
    passage(hit.text ?? "", places.text, matches, key),
    facts(hit, title),
    hit.matches === undefined ? el("p", { class: "muted" }, "Why it matched …") : bars(matches, {
      scale,
      queryWord: (match) => queryWords.get(match.term) ?? "",
      documentWord: (match) => documentWord(match, hit),
      score: matches.reduce((sum, match) => sum + match.contribution, 0),
      key: `${key} terms`,
    }),
  );
  lightUp(card);
  card.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target === card) openAll(card);
  });
  return card;
}

// Enter on a hit opens, or closes, its text and its terms together.
function openAll(card) {
  const buttons = [...card.querySelectorAll("button[aria-expanded]")];
  const open = buttons.some((button) => button.getAttribute("aria-expanded") !== "true");
  for (const button of buttons) {
    if ((button.getAttribute("aria-expanded") === "true") !== open) button.click();
  }
}

function wordsIn(matches, field) {
  return matches.flatMap((match, i) =>
    (match.words ?? [])
      .filter((word) => word.field === field)
      .map((word) => ({ ...word, match: i })));
}

function documentWord(match, hit) {
  for (const word of match.words ?? []) {
    const text = hit[word.field];
    const [place] = typeof text === "string" ? placed(text, [word]) : [];
    if (place) return text.slice(place.start, place.end);
  }
  return "";
}

function passage(text, places, matches, key) {
  if (!text) return null;
  const contributions = matches.map((match) => match.contribution);
  const clipped = parts(text, places, contributions);
  const whole = clipped.length === 1 && clipped[0][0] === 0 && clipped[0][1] === text.length;
  const body = el("p", { class: "passage", dir: "auto" });
  const fill = (shown) => {
    body.replaceChildren(...shown.flatMap(([start, end], i) => [
      i > 0 ? " … " : start > 0 ? "… " : "", ...marked(text, places, start, end).flat(),
    ]), shown[shown.length - 1][1] < text.length ? " …" : "");
  };
  fill(clipped);
  if (whole) return body;
  const label = `Whole text (${plural(text.length, "character")})`;
  const button = el("button", {
    type: "button", class: "quiet", "aria-expanded": "false", data: { key: `${key} text` },
  }, label);
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-expanded") !== "true";
    fill(open ? [[0, text.length]] : clipped);
    button.setAttribute("aria-expanded", String(open));
    button.textContent = open ? "Less text" : label;
  });
  return [body, button];
}

function twinNote(twin, onTwin, key) {
  if (twin === undefined) return null;
  if (twin === null) return el("p", { class: "twin muted" }, "only here");
  return el("p", { class: "twin" }, el("button", {
    type: "button", class: "quiet", data: { key: `${key} twin` }, on: { click: onTwin },
  }, "also ", el("b", {}, `${twin.rank}.`), " in ", isolated(twin.index)));
}

function facts(hit, title) {
  const entries = Object.entries(hit.metadata ?? {}).filter(([, value]) => value !== null);
  if (hit.doc_id !== title) entries.unshift(["id", hit.doc_id]);
  if (!entries.length) return null;
  return el("p", { class: "facts" }, entries.map(([name, value]) =>
    el("span", {}, isolated(name), " ", isolated(written(value), { class: "value" }))));
}

const written = (value) => (typeof value === "string" ? value : JSON.stringify(value));
