// Builds elements. Whatever comes from documents and queries becomes a text node, never markup.

const BOOLEANS = new Set(["hidden", "checked", "disabled", "selected"]);

/**
 * Make an element.
 * @param {string} tag
 * @param {object} props attributes; `on` holds listeners, `data` the data-* attributes.
 * @param {...(Node|string|number|null|Array)} children text, nodes, lists of them; null is nothing.
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (name === "data") {
      Object.assign(node.dataset, value);
    } else if (BOOLEANS.has(name)) {
      node[name] = value;
    } else {
      node.setAttribute(name, String(value));
    }
  }
  append(node, children);
  return node;
}

export function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) {
      node.append(child instanceof Node ? child : String(child));
    }
  }
}

/** Replace what a node holds and keep the focus on the element of the same `data-key`. */
export function replace(node, ...children) {
  const active = document.activeElement;
  const key = node.contains(active) ? active.dataset.key : undefined;
  node.replaceChildren();
  append(node, children);
  if (key === undefined || focusKey(key, node)) return;
  node.focus({ preventScroll: true });
}

/** Focus the element of that `data-key`; whether there is one. */
export function focusKey(key, within = document) {
  for (const candidate of within.querySelectorAll("[data-key]")) {
    if (candidate.dataset.key === key) {
      candidate.focus({ preventScroll: true });
      return true;
    }
  }
  return false;
}

export const byId = (id) => document.getElementById(id);

/** A number for people: three or four digits that count. */
export function number(value) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1000) return value.toFixed(0);
  if (size >= 100) return value.toFixed(1);
  return size >= 0.1 ? value.toFixed(2) : value.toPrecision(2);
}

/** Milliseconds for people; long ones in seconds. */
export function duration(ms) {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms < 10 ? number(ms) : ms.toFixed(0)} ms`;
}

/** Sentences in one line, each with one full stop. */
export const sentences = (parts) =>
  parts.map((part) => part.replace(/[.\s]+$/, "")).map((part) => `${part}.`).join(" ");

export const plural = (count, one, many = `${one}s`) =>
  `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
