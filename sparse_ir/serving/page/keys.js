// The page by keyboard: "/" to the query, arrows from hit to hit, Escape back.

import { byId } from "./dom.js";

const hits = (column) =>
  [...document.querySelectorAll("article.hit")].filter((hit) => Number(hit.dataset.column) === column);

/** Put the focus on the hit of a rank in a column. */
export function focusHit(column, rank) {
  move(hits(column).find((hit) => Number(hit.dataset.rank) === rank));
}

/** Change what is shown, and keep the hit that is at the top of the window where it is. */
export function steadily(change) {
  const seen = [...document.querySelectorAll("article.hit")].find((hit) => hit.getBoundingClientRect().bottom > 0);
  const top = seen?.getBoundingClientRect().top ?? 0;
  change();
  if (!seen || scrollY === 0) return;
  const now = hits(Number(seen.dataset.column)).find((hit) => hit.dataset.rank === seen.dataset.rank);
  if (now) scrollBy(0, now.getBoundingClientRect().top - top);
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
  if (!hit) return event.key === "ArrowDown" && event.target === byId("results") && move(hits(0)[0]);
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
      const other = hits(event.key === "ArrowRight" ? 1 : 0);
      return column !== (event.key === "ArrowRight" ? 1 : 0) && move(other[Math.min(at, other.length - 1)]);
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
  return (
    event.key === "ArrowDown" && box.id === "q" && box.selectionEnd === box.value.length && move(hits(0)[0])
  );
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
