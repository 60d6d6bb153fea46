// Asks for the token of the backend, sees whether it is right, and goes on to the console.

import { byId, setText } from "./dom.js";
import { REFUSED, keepToken } from "./session.js";

const TIMEOUT = 15_000; // ms

/** What is wrong with a token, in a sentence for the visitor; empty when nothing is. */
async function complaint(token) {
  if (!/^[\x20-\x7e]+$/.test(token)) return "A token has letters, digits and signs of ASCII only.";
  try {
    const { ok, status } = await fetch("/api/status", {
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(TIMEOUT),
    });
    if (ok) return "";
    return status === 401 ? "This is not the token of this backend." : `The backend answers with status ${status}. Try again in a moment.`;
  } catch {
    return `The backend does not answer. Is "pyrover-backend serve" running on ${location.host}?`;
  }
}

async function enter(event) {
  event.preventDefault();
  const field = byId("token");
  const token = field.value.trim();
  byId("enter").disabled = true;
  const said = await complaint(token);
  byId("enter").disabled = false;
  setText(byId("said"), said);
  field.setAttribute("aria-invalid", String(said !== ""));
  if (said) {
    field.select();
    return;
  }
  keepToken(token);
  location.replace(`/${location.hash}`);
}

byId("login").addEventListener("submit", enter);
if (location.search === REFUSED) setText(byId("said"), "The backend does not accept the token of this tab any more. It may have a new one.");
