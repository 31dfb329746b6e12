// The dialog that asks for the API key.

import { ApiError } from "./api.js";
import { byId } from "./dom.js";

/** Ask for a key. `refused`: one was sent and the server did not take it. */
export function askForKey(refused) {
  const dialog = byId("key-dialog");
  const input = byId("key");
  byId("key-why").textContent = refused
    ? "The server refused this key. See that it is written right."
    : "This server answers only to those who have a key.";
  input.value = "";
  return new Promise((resolve, reject) => {
    const form = dialog.querySelector("form");
    form.onsubmit = (event) => {
      const key = input.value.trim();
      // A header holds these characters only, and the server cannot have given out another key.
      if (!/^[\x21-\x7e]+$/.test(key)) {
        event.preventDefault();
        byId("key-why").textContent = "A key has only letters, digits and signs, without spaces.";
        return;
      }
      resolve(key);
    };
    byId("key-cancel").onclick = () => dialog.close();
    dialog.onclose = () => {
      input.value = "";
      reject(new ApiError("The server needs an API key.", { status: 401, again: true }));
    };
    dialog.showModal();
  });
}
