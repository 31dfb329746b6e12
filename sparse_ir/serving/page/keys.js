// The page by keyboard: "/" to the query, arrows from hit to hit, Escape back.

import { byId } from "./dom.js";

const allHits = () => [...document.querySelectorAll("article.hit")];
const hits = (column) => allHits().filter((hit) => Number(hit.dataset.column) === column);

/** Put the focus on the hit of a rank in a column. */
export function focusHit(column, rank) {
  move(hits(column).find((hit) => Number(hit.dataset.rank) === rank));
}

/** Change what is shown, and keep the hit that is at the top of the window where it is. */
export function steadily(change) {
  const top = (hit) => hit.getBoundingClientRect().top;
  const seen = allHits().find((hit) => hit.getBoundingClientRect().bottom > 0);
  const before = seen ? top(seen) : 0;
  change();
  if (!seen || scrollY === 0) return;
  const now = allHits().find((hit) => hit.dataset.key === seen.dataset.key);
  if (now) scrollBy(0, top(now) - before);
}

/** Listen for the whole page. */
export function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    if (document.querySelector("dialog[open]")) return;
    const handled = isTyped(event.target) ? fromQuery(event) : anywhere(event);
    if (handled) event.preventDefault();
  });
}

const isTyped = (target) => target.closest?.("input, textarea, select") !== null;

function anywhere(event) {
  if (event.key === "/") return toQuery();
  const hit = event.target.closest?.("article.hit");
  if (!hit) {
    return event.key === "ArrowDown" && event.target === byId("results") && move(hits(0)[0]);
  }
  const column = Number(hit.dataset.column);
  const list = hits(column);
  const at = list.indexOf(hit);
  switch (event.key) {
    case "ArrowDown":
      return move(list[at + 1]);
    case "ArrowUp":
      return at === 0 ? toQuery() : move(list[at - 1]);
    case "ArrowRight":
    case "ArrowLeft": {
      const aim = event.key === "ArrowRight" ? 1 : 0;
      const others = hits(aim);
      return column !== aim && move(others[Math.min(at, others.length - 1)]);
    }
    case "Escape":
      return toQuery();
    default:
      return false;
  }
}

// At the end of the query the arrow leads on to the hits.
function fromQuery(event) {
  const box = event.target;
  const atEnd = box.id === "q" && box.selectionEnd === box.value.length;
  return event.key === "ArrowDown" && atEnd && move(hits(0)[0]);
}

function toQuery() {
  const box = byId("search-form").hidden ? byId("text-a") : byId("q");
  box.focus();
  if (box.id === "q") box.select();
  return true;
}

function move(hit) {
  if (!hit) return false;
  hit.focus({ preventScroll: true });
  hit.scrollIntoView({ block: "nearest" });
  return true;
}
