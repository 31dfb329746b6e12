// The server's HTTP API: requests with the key, and errors in words that say what to do.

const KEY = "sparse-ir-key";

/** An answer that is not a result. `again`: the same request may well succeed later. */
export class ApiError extends Error {
  constructor(message, { status = 0, again = false } = {}) {
    super(message);
    this.status = status;
    this.again = again;
  }
}

export const hasKey = () => Boolean(sessionStorage.getItem(KEY));
export const forgetKey = () => sessionStorage.removeItem(KEY);

let asking = null;

/** Ask the person for a key once, however many requests wait for it. */
export function askKeyWith(dialog) {
  asking = async (used) => {
    if (sessionStorage.getItem(KEY) !== used) return; // somebody else has got one meanwhile
    pending ??= dialog(used !== null).finally(() => (pending = null));
    sessionStorage.setItem(KEY, await pending);
  };
}
let pending = null;

/**
 * GET a path and return its JSON.
 * @param {string} path as "search", beside the page.
 * @param {URLSearchParams} params
 * @param {AbortSignal} signal
 */
export async function get(path, params, signal) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const answer = await send(path, params, signal, key);
    if (answer.status === 401 && asking) {
      await asking(key);
      continue;
    }
    return content(answer, path);
  }
}

async function send(path, params, signal, key) {
  const url = new URL(path, document.baseURI);
  url.search = params.toString();
  const headers = { Accept: "application/json" };
  if (key !== null) headers.Authorization = `Bearer ${key}`;
  try {
    return await fetch(url, { headers, signal, credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(
      url.search.length > 30_000
        ? "The server did not take the request: the text is too long for it. Shorten the text."
        : "The server does not answer. See that it is still running, then try again.",
      { again: true },
    );
  }
}

async function content(answer, path) {
  let body = null;
  try {
    body = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  const { status } = answer;
  if (answer.ok && body !== null && typeof body === "object") return body;
  const words = wordsOf(body);
  throw new ApiError(explained(status, words, path), {
    status,
    again: status === 429 || status >= 500,
  });
}

function explained(status, words, path) {
  const told = words ? ` The server says: ${words}` : "";
  switch (status) {
    case 400:
    case 422:
      return words || "The server did not understand the request.";
    case 401:
    case 403:
      return `The server refused the API key.${told}`;
    case 404:
      return words || `The server has no /${path}. Is it a sparse-ir server of this version?`;
    case 413:
    case 414:
    case 431:
      return `The text is too long for this server. Shorten it.${told}`;
    case 429:
      return `The server has too many requests at the moment. Try again.${told}`;
    case 503:
      return `The server is busy or shutting down. Try again in a moment.${told}`;
    case 504:
      return `The server took too long and gave up. Shorten the query or try again.${told}`;
    default:
      return status >= 500
        ? `The server failed (${status}). Its log says why.${told}`
        : `The server's answer (${status}) is not understood. Is it a sparse-ir server?${told}`;
  }
}

// {"error": "…"}, {"error": {what, where, todo}}, or a framework's {"detail": …}
function wordsOf(body) {
  const said = body?.error ?? body?.detail;
  if (typeof said === "string") return said;
  if (Array.isArray(said)) return said.map((each) => each?.msg ?? "").filter(Boolean).join("; ");
  if (said && typeof said === "object") {
    return [said.what, said.where, said.todo].filter((part) => typeof part === "string").join(" ");
  }
  return "";
}
