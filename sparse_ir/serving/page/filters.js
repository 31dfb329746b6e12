// Filters: conditions on fields, offered from what the indexes say about themselves.

import { byId, el, replace } from "./dom.js";
import { isolated, plain } from "./text.js";

/**
 * Show the active filters, removable, and offer the fields of the chosen indexes.
 * @param {object} state
 * @param {object[]} indexes those that are searched, as /indexes describes them.
 * @param {(change: object) => void} change
 */
export function showFilters(state, indexes, change) {
  const chips = state.filters.map((filter) => removable("Filter", filter, () =>
    change({ filters: state.filters.filter((other) => other !== filter), offset: 0 })));
  if (state.hybrid) {
    const remove = () => change({ hybrid: "", offset: 0 });
    chips.push(removable("Hybrid", `hybrid: ${state.hybrid}`, remove));
  }
  const list = byId("filters");
  replace(list, chips);
  list.hidden = !chips.length;
  const fields = offered(indexes);
  byId("filter-box").hidden = !fields.size;
  byId("filter-row").hidden = !fields.size && !chips.length;
  const select = byId("filter-field");
  const before = select.value;
  const options = [...fields.keys()].map((name) => el("option", { value: name }, plain(name)));
  select.replaceChildren(...options);
  if (fields.has(before)) select.value = before;
  showValues(fields);
  select.onchange = () => showValues(fields);
  byId("filter-add").onclick = () => add(state, change);
  byId("filter-value").onkeydown = (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    add(state, change);
  };
}

function removable(kind, text, remove) {
  return el("li", { class: "chip set" }, el("button", {
    type: "button", class: "toggle", "aria-label": `Remove ${kind.toLowerCase()} ${plain(text)}`,
    data: { key: `filter ${text}` }, on: { click: remove },
  }, isolated(text), " ", el("span", { "aria-hidden": "true" }, "✕")));
}

// A field that one of two indexes lacks would leave that one without hits, so it is not offered.
function offered(indexes) {
  const fields = new Map();
  for (const { filters } of indexes) {
    for (const { field, values } of filters ?? []) {
      const known = fields.get(field) ?? { values: new Set(), count: 0 };
      for (const value of values ?? []) known.values.add(String(value));
      known.count += 1;
      fields.set(field, known);
    }
  }
  return new Map([...fields].filter(([, { count }]) => count === indexes.length));
}

function showValues(fields) {
  const values = fields.get(byId("filter-field").value)?.values ?? [];
  byId("filter-values").replaceChildren(...[...values].map((value) => el("option", { value })));
}

function add(state, change) {
  const field = byId("filter-field").value;
  const operator = byId("filter-operator").value;
  const input = byId("filter-value");
  const value = input.value.trim();
  if (!field || !value) {
    input.focus();
    return;
  }
  // A bar parts alternatives, so one within the value is escaped.
  const filter = `${field}${operator}${operator === "=" ? value.replaceAll("|", "\\|") : value}`;
  input.value = "";
  if (!state.filters.includes(filter)) change({ filters: [...state.filters, filter], offset: 0 });
}
