// The terms that made a score, as bars: what each adds, its two weights and the words behind it.

import { el, number, plural } from "./dom.js";
import { isolated } from "./text.js";

const SHOWN = 6;

/**
 * A list of bars.
 * @param {object[]} matches as the server gives them, largest contribution first.
 * @param {object} more
 *   scale: the contribution of a whole bar; queryWord, documentWord: match -> the word that
 *   produced it, or ""; score: what the bars add up to; key: names the list's button.
 */
export function bars(matches, { scale, queryWord, documentWord, score, key }) {
  if (!matches.length) return el("p", { class: "muted" }, "No term of the query is in it.");
  const rows = matches.map((match, i) =>
    row(match, i, scale, queryWord(match), documentWord(match)));
  for (const extra of rows.slice(SHOWN)) extra.hidden = true;
  const label = `Terms that add up to ${number(score)}`;
  const list = el("ul", { class: "bars", "aria-label": label }, rows);
  if (rows.length <= SHOWN) return list;
  const rest = matches.slice(SHOWN).reduce((sum, match) => sum + match.contribution, 0);
  const more = el("button", {
    type: "button", class: "quiet more-terms", "aria-expanded": "false", data: { key },
  });
  const worded = (open) =>
    open ? "Fewer terms" : `${plural(rows.length - SHOWN, "more term")} (${number(rest)})`;
  more.textContent = worded(false);
  more.addEventListener("click", () => {
    const open = more.getAttribute("aria-expanded") !== "true";
    for (const extra of rows.slice(SHOWN)) extra.hidden = !open;
    more.setAttribute("aria-expanded", String(open));
    more.textContent = worded(open);
  });
  return [list, more];
}

function row(match, i, scale, queryWord, documentWord) {
  const added = !isOwn(match.term, queryWord);
  const fill = el("span", { class: added ? "fill added" : "fill" });
  const share = scale > 0 ? Math.max(0, Math.min(1, match.contribution / scale)) : 0;
  fill.style.setProperty("--share", `${(100 * share).toFixed(1)}%`);
  return el(
    "li",
    { data: { match: i } },
    isolated(match.term, { class: "bar-term" }),
    el("span", { class: "track", "aria-hidden": "true" }, fill),
    el("span", { class: "bar-value" }, number(match.contribution)),
    el(
      "span",
      { class: "bar-why" },
      ` = ${number(match.query_weight)} × ${number(match.document_weight)} `,
      origin(match.term, queryWord, documentWord, added),
    ),
  );
}

function origin(term, queryWord, documentWord, added) {
  const parts = [];
  if (documentWord && same(queryWord, documentWord)) {
    if (!added && same(queryWord, term)) return null;
    return el("span", { class: "origin" }, "from ", quoted(queryWord));
  }
  if (queryWord && (added || !same(queryWord, term))) parts.push("query ", quoted(queryWord));
  if (documentWord && !same(documentWord, term)) {
    parts.push(parts.length ? " → text " : "text ", quoted(documentWord));
  }
  return parts.length ? el("span", { class: "origin" }, parts) : null;
}

const quoted = (word) => ["“", isolated(word), "”"];
const same = (a, b) => folded(a) === folded(b);
const folded = (word) =>
  (word ?? "").normalize("NFD").replace(/\p{M}|^##|^[▁Ġ]/gu, "").toLowerCase();

/**
 * Whether a term stands in the word that produced it, or is its stem, so that it was not added by
 * the model.
 */
export function isOwn(term, word) {
  const [a, b] = [folded(term), folded(word)];
  if (!b) return false;
  if (b.includes(a)) return true;
  let shared = 0;
  while (shared < a.length && a[shared] === b[shared]) shared += 1;
  return shared >= Math.max(3, a.length - 1);
}

/** Let a bar under the pointer light up its words in the text. */
export function lightUp(card) {
  const light = (event, on) => {
    const bar = event.target.closest?.("[data-match]");
    if (!bar || !card.contains(bar)) return;
    for (const mark of card.querySelectorAll("mark")) {
      const lit = on && mark.dataset.matches.split(" ").includes(bar.dataset.match);
      mark.classList.toggle("lit", lit);
    }
  };
  card.addEventListener("pointerover", (event) => light(event, true));
  card.addEventListener("pointerout", (event) => light(event, false));
}
