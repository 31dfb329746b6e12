// Starts the page: the address is the state, the forms change it, the views show it.

import { ApiError, askKeyWith, forgetKey, get, hasKey } from "./api.js";
import { failure } from "./columns.js";
import { byId, el, plural, replace } from "./dom.js";
import { showFilters } from "./filters.js";
import { askForKey } from "./key.js";
import { listen, steadily } from "./keys.js";
import { ask, isAsked, merged, showResults } from "./search.js";
import { read, write } from "./state.js";
import { plain } from "./text.js";
import { areTexts, compare, showComparison } from "./texts.js";

let state = read(location.search);
let known = null; // what /indexes says
let running = null; // the request under way

/** Take over a change, write it into the address, and show what it gives. */
function change(what, { focus = false } = {}) {
  state = { ...state, ...what };
  const address = location.pathname + write(state);
  if (address !== location.pathname + location.search) history.pushState(null, "", address);
  show({ focus });
}

async function show({ focus = false } = {}) {
  running?.abort();
  const mine = (running = new AbortController());
  delete byId("results").dataset.settled;
  fillForms();
  document.title = titled();
  try {
    known ??= await loadIndexes(mine.signal);
    fillForms();
    await answer(mine.signal, focus);
  } catch (error) {
    if (error.name === "AbortError") return;
    const own = error instanceof ApiError;
    const told = own ? error : new ApiError(`The page failed: ${error.message}`);
    replace(byId("results"), failure(told, () => show()));
    say(told.message);
    if (!own) throw error;
  } finally {
    if (running === mine) {
      byId("results").removeAttribute("aria-busy");
      byId("results").dataset.settled = "";
    }
    byId("forget-key").hidden = !hasKey();
  }
}

async function loadIndexes(signal) {
  const { indexes, default: first } = await get("indexes", new URLSearchParams(), signal);
  return { indexes, first };
}

async function answer(signal, focus) {
  const texts = state.view === "texts";
  if (!(texts ? areTexts(state) : isAsked(state))) {
    replace(byId("results"), hint(texts));
    say("");
    return;
  }
  byId("results").setAttribute("aria-busy", "true");
  const late = setTimeout(() => say(texts ? "Comparing …" : "Searching …"), 400);
  try {
    if (texts) say(showComparison(await compare(state, chosen(), signal), state, () => show()));
    else await search(signal, focus, () => clearTimeout(late));
  } finally {
    clearTimeout(late);
  }
}

// The hits come first; what explains them follows, and moves nothing that is being read.
async function search(signal, focus, onFound) {
  const more = { change: fromForms, again: () => show() };
  const found = await ask(state, chosen(), signal, { explain: false });
  onFound();
  say(showResults(found, state, more));
  const results = byId("results");
  results.removeAttribute("aria-busy");
  if (focus) {
    results.focus({ preventScroll: true });
    byId("status").scrollIntoView({ block: "start" });
  }
  if (!found.some((result) => result.answer?.hits.length)) return;
  const explained = await ask(state, chosen(), signal, { explain: true });
  steadily(() => showResults(merged(found, explained), state, more));
}

/** The indexes that are asked, as /indexes describes them; an unknown one by its name alone. */
function chosen() {
  const first = known.first ?? known.indexes[0]?.name ?? "";
  const names = state.indexes.length ? state.indexes : [first];
  return names.map((name) => known.indexes.find((index) => index.name === name) ?? { name });
}

function hint(texts) {
  if (texts) {
    return el("p", { class: "notice" },
      "Write two texts: the first is read as a query, the second as a document.");
  }
  const documents = chosen()[0].documents;
  return el("p", { class: "notice" }, "Write a query",
    Number.isFinite(documents) ? ` to search ${plural(documents, "document")}.` : ".");
}

function say(text) {
  const status = byId("status");
  if (status.textContent !== plain(text)) status.textContent = plain(text);
}

function titled() {
  const about = state.view === "texts" ? "Two texts" : state.q.trim();
  return plain(about ? `${about.slice(0, 80)} – sparse-ir` : "sparse-ir");
}

function fillForms() {
  const texts = state.view === "texts";
  byId("search-form").hidden = texts;
  byId("texts-form").hidden = !texts;
  for (const [link, on] of [["to-search", !texts], ["to-texts", texts]]) {
    if (on) byId(link).setAttribute("aria-current", "page");
    else byId(link).removeAttribute("aria-current");
  }
  for (const [box, text] of [["q", state.q], ["text-a", state.a], ["text-b", state.b]]) {
    if (byId(box).value !== text) byId(box).value = text;
  }
  byId("lexical").checked = state.lexical;
  if (known === null) return;
  for (const form of ["", "texts-"]) fillSelects(form);
  showFilters(state, chosen(), fromForms);
}

function fillSelects(form) {
  const names = new Set([...known.indexes.map(({ name }) => name), ...state.indexes]);
  const [first, second] = chosen();
  const fill = (id, options, value) => byId(id).replaceChildren(...options.map((name) =>
    el("option", { value: name, selected: name === value }, plain(name) || "nothing")));
  fill(`${form}index-0`, [...names], first.name);
  names.delete(first.name);
  fill(`${form}index-1`, ["", ...names], second?.name ?? "");
  byId(`${form}beside`).hidden = names.size === 0;
}

// What was written goes along with every change, so that no half-written query is lost.
const written = () =>
  state.view === "texts"
    ? { a: byId("text-a").value, b: byId("text-b").value }
    : { q: byId("q").value };

function fromForms(what, how) {
  const words = written();
  const moved = words.q !== undefined && words.q !== state.q;
  change({ ...words, ...what, ...(moved ? { offset: 0 } : {}) }, how);
}

function wire() {
  for (const form of ["search-form", "texts-form"]) {
    byId(form).addEventListener("submit", (event) => {
      event.preventDefault();
      fromForms({ offset: 0 });
    });
  }
  byId("q").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    fromForms({ offset: 0 });
  });
  for (const box of ["text-a", "text-b"]) {
    byId(box).addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) fromForms({});
    });
  }
  byId("lexical").addEventListener("change", (event) =>
    fromForms({ lexical: event.target.checked, offset: 0 }));
  for (const form of ["", "texts-"]) {
    const selects = [byId(`${form}index-0`), byId(`${form}index-1`)];
    for (const select of selects) {
      select.addEventListener("change", () => {
        const names = selects.map(({ value }) => value);
        fromForms({ indexes: [...new Set(names.filter(Boolean))], offset: 0 });
      });
    }
  }
  for (const [link, view] of [["to-search", "search"], ["to-texts", "texts"]]) {
    byId(link).addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      fromForms({ view });
    });
  }
  byId("forget-key").addEventListener("click", () => {
    forgetKey();
    location.reload();
  });
  addEventListener("popstate", () => {
    if (write(read(location.search)) === write(state)) return; // only the fragment changed
    state = read(location.search);
    show();
  });
}

askKeyWith(askForKey);
listen();
wire();
show();
