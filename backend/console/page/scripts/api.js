// Asks the backend.

import { askForToken, authorization } from "./session.js";

/** An answer that is an error: `message` says what is wrong, `hint` what to do. */
export class Refused extends Error {
  constructor({ error, hint }) {
    super(error);
    this.hint = hint;
  }
}

const TIMEOUT = 30_000; // ms

/** GET an address of the API; parameters may be arrays. Throws Refused, or what fetch throws when nobody answers. */
export async function get(path, parameters, signal) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) for (const each of [value].flat()) query.append(name, each);
  const response = await fetch(`${path}?${query}`, {
    headers: { accept: "application/json", ...authorization() },
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT)]),
  });
  if (response.status === 401) return askForToken();
  const body = await response.json();
  if (!response.ok) throw new Refused(body);
  return body;
}
