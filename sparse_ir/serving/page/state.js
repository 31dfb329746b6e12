// What the page shows, and how the address says it.

/**
 * The state that an address describes. `terms` maps a term to what is done with it:
 * {mode: "" | "ban" | "boost" | "pin", value: number, require: boolean}.
 */
export function read(search) {
  const params = new URLSearchParams(search);
  const terms = new Map();
  for (const term of params.getAll("ban")) set(terms, term, { mode: "ban" });
  for (const mode of ["boost", "pin"]) {
    for (const written of params.getAll(mode)) {
      const { term, value } = split(written);
      set(terms, term, { mode, value });
    }
  }
  for (const term of params.getAll("require")) set(terms, term, { require: true });
  return {
    view: params.get("view") === "texts" ? "texts" : "search",
    q: params.get("q") ?? "",
    indexes: [...new Set(params.getAll("index").filter(Boolean))].slice(0, 2),
    filters: [...new Set(params.getAll("filter").filter(Boolean))],
    terms,
    lexical: params.get("lexical") === "1",
    hybrid: params.get("hybrid") ?? "",
    k: whole(params.get("k"), 1, 100, null), // null: as many as the server gives by itself
    offset: whole(params.get("offset"), 0, 1_000_000, 0),
    a: params.get("a") ?? "",
    b: params.get("b") ?? "",
  };
}

/** The address of a state, from "?" on; empty for the page as it is first opened. */
export function write(state) {
  const params = new URLSearchParams();
  if (state.view === "texts") {
    params.append("view", "texts");
    if (state.a) params.append("a", state.a);
    if (state.b) params.append("b", state.b);
    for (const index of state.indexes) params.append("index", index);
  } else {
    if (state.q) params.append("q", state.q);
    for (const index of state.indexes) params.append("index", index);
    asked(params, state);
    if (state.k !== null) params.append("k", state.k);
    if (state.offset) params.append("offset", state.offset);
  }
  const text = params.toString();
  return text ? `?${text}` : "";
}

/** What one index is asked. */
export function request(state, index, explain) {
  const params = new URLSearchParams({ q: state.q, offset: state.offset });
  if (state.k !== null) params.append("k", state.k);
  if (index) params.append("index", index);
  asked(params, state);
  if (explain) params.append("explain", "1");
  return params;
}

/** The terms with one of them changed; one without a mode that is not required is left out. */
export function changed(terms, term, change) {
  const next = new Map(terms);
  set(next, term, change);
  const { mode, require } = next.get(term);
  if (!mode && !require) next.delete(term);
  return next;
}

function asked(params, state) {
  for (const filter of state.filters) params.append("filter", filter);
  for (const [term, { mode, value }] of state.terms) {
    if (mode === "ban") params.append("ban", term);
    else if (mode) params.append(mode, `${term}=${value}`);
  }
  for (const [term, { require }] of state.terms) if (require) params.append("require", term);
  if (state.lexical) params.append("lexical", "1");
  if (state.hybrid) params.append("hybrid", state.hybrid);
}

function set(terms, term, change) {
  if (term) terms.set(term, { mode: "", value: 1, require: false, ...terms.get(term), ...change });
}

// The last equals sign parts term and number: a term may hold one itself.
function split(written) {
  const at = written.lastIndexOf("=");
  const value = at > 0 ? Number(written.slice(at + 1) || NaN) : NaN;
  const isWritten = Number.isFinite(value);
  return isWritten ? { term: written.slice(0, at), value } : { term: written, value: 1 };
}

function whole(text, least, most, otherwise) {
  const value = Number.parseInt(text ?? "", 10);
  return Number.isNaN(value) ? otherwise : Math.min(most, Math.max(least, value));
}
