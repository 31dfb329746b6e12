// Shows text from documents and queries as it is: words marked, control characters visible.

import { el } from "./dom.js";

// What could reorder or hide text: C0 and C1 controls but tab and new line, bidirectional
// embeddings, overrides and isolates, line and paragraph separators, tags, interlinear annotation.
const CONTROL = new RegExp(
  "[\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f\\u2028-\\u202e"
  + "\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb\\u{e0000}-\\u{e007f}]",
  "gu",
);

/** A text as nodes, each control character as its code in a box. */
export function visible(text) {
  const nodes = [];
  let last = 0;
  for (const found of text.matchAll(CONTROL)) {
    if (found.index > last) nodes.push(text.slice(last, found.index));
    const code = `U+${found[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
    nodes.push(el("span", { class: "control" }, code));
    last = found.index + found[0].length;
  }
  if (last < text.length) nodes.push(text.slice(last));
  return nodes;
}

/** A text without its control characters, for places that take no nodes. */
export const plain = (text) => text.replace(CONTROL, "");

/** A text set apart, so that its direction does not touch what stands beside it. */
export const isolated = (text, props = {}) => el("bdi", props, visible(text));

/**
 * Places counted in characters (code points), as the server counts, to places in a JavaScript
 * string (UTF-16 units). Places outside of the text are left out.
 */
export function placed(text, places) {
  const valid = places.filter(({ start, end }) => start >= 0 && end > start);
  if (!/[\ud800-\udbff][\udc00-\udfff]/.test(text)) {
    return valid.filter(({ end }) => end <= text.length);
  }
  const units = [0];
  for (const character of text) units.push(units[units.length - 1] + character.length);
  return valid
    .filter(({ end }) => end < units.length)
    .map((place) => ({ ...place, start: units[place.start], end: units[place.end] }));
}

/**
 * A part of a text with its places marked.
 * @param {string} text
 * @param {{start: number, end: number, match: number}[]} places may overlap.
 */
export function marked(text, places, from = 0, to = text.length) {
  const within = places.filter((place) => place.start < to && place.end > from);
  const cuts = new Set([from, to]);
  for (const { start, end } of within) cuts.add(Math.max(start, from)).add(Math.min(end, to));
  const sorted = [...cuts].sort((a, b) => a - b);
  return sorted.slice(1).map((end, i) => {
    const start = sorted[i];
    const nodes = visible(text.slice(start, end));
    const matches = within.filter((p) => p.start <= start && p.end >= end).map((p) => p.match);
    if (!matches.length) return nodes;
    return el("mark", { data: { matches: [...new Set(matches)].join(" ") } }, nodes);
  });
}
