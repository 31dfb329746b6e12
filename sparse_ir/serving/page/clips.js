// Which parts of a long text to show: those with the words that made most of the score.

const WHOLE = 420; // a text up to this length is shown whole
const PART = 200;
const PARTS = 2;

/**
 * The parts of a text to show, [start, end) each, in the order of the text.
 * @param {string} text
 * @param {{start: number, end: number, match: number}[]} places
 * @param {number[]} contributions what each match adds to the score.
 */
export function parts(text, places, contributions) {
  if (text.length <= WHOLE) return [[0, text.length]];
  const chosen = [];
  const seen = new Set();
  while (chosen.length < PARTS) {
    const best = heaviest(text, places, contributions, chosen, seen);
    if (best === null) break;
    chosen.push(best.part);
    for (const match of best.matches) seen.add(match);
  }
  if (!chosen.length) chosen.push(around(text, 0, PARTS * PART));
  return joined(chosen.sort((a, b) => a[0] - b[0]));
}

// Every place may begin a part; a match counts once in a text.
function heaviest(text, places, contributions, chosen, seen) {
  let best = null;
  for (const place of places) {
    if (chosen.some(([start, end]) => place.start < end && place.end > start)) continue;
    const part = around(text, Math.max(0, place.start - PART / 4), PART);
    const matches = new Set();
    for (const other of places) {
      if (other.start >= part[0] && other.end <= part[1] && !seen.has(other.match)) {
        matches.add(other.match);
      }
    }
    let sum = 0;
    for (const match of matches) sum += contributions[match];
    if (sum > (best?.sum ?? 0)) best = { part, matches, sum };
  }
  return best;
}

// Both ends move to a space nearby, so that words stay whole, and never into a character.
function around(text, start, length) {
  return [snapped(text, start, -1), snapped(text, Math.min(text.length, start + length), 1)];
}

function snapped(text, from, step) {
  let at = Math.max(0, Math.min(text.length, Math.round(from)));
  for (let moved = 0; at > 0 && at < text.length && moved < 30; moved += 1, at += step) {
    if (/\s/.test(text[step < 0 ? at - 1 : at])) return at;
  }
  if (at > 0 && at < text.length && /[\udc00-\udfff]/.test(text[at])) at += step;
  return at;
}

function joined(sorted) {
  const out = [];
  for (const [start, end] of sorted) {
    const last = out[out.length - 1];
    if (last && start <= last[1] + 20) last[1] = Math.max(last[1], end);
    else out.push([start, end]);
  }
  return out;
}
