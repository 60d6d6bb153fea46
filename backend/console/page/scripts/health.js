// Whether the backend answers, and what it received and lost.

import { Refused } from "./api.js";
import { byId, setText } from "./dom.js";
import { count } from "./format.js";

let awaySince = null;

/** Show an answer of /api/status in the bar. */
export function showHealth({ logs, messages }) {
  const losses = [
    ...Object.entries(logs.dropped).map(([cause, number]) => [number, `logs: ${cause}`]),
    ...Object.entries(logs.refused).map(([cause, number]) => [number, `logs refused: ${cause}`]),
    ...Object.entries(messages.dropped).map(([cause, number]) => [number, `messages: ${cause}`]),
  ];
  const lost = losses.reduce((sum, [number]) => sum + number, 0);
  const health = byId("health");
  health.dataset.state = lost ? "losing" : "live";
  health.title = lost ? losses.map(([number, what]) => `${count(number)} ${what}`).join("\n") : "Nothing was dropped since the start";
  const loss = lost ? ` · ${count(lost)} dropped` : "";
  setText(byId("health-text"), logs.received === null ? "Live" : `Live · ${count(logs.received)} logs${loss}`);
}

/** Say that the backend is away, or with null that it is back. */
export function showAway(error) {
  const notice = byId("away");
  notice.hidden = error === null;
  document.body.classList.toggle("stale", error !== null);
  if (error === null) {
    awaySince = null;
    return;
  }
  awaySince ??= new Date();
  byId("health").dataset.state = "away";
  byId("health").title = "";
  setText(byId("health-text"), "No answer");
  const since = awaySince.toLocaleTimeString([], { hourCycle: "h23" });
  const text =
    error instanceof Refused
      ? `The backend answers with an error: ${error.message}. ${error.hint}.`
      : `The backend does not answer since ${since}. What you see is older. Is "pyrover-backend serve" running on ${location.host}? Trying again every few seconds.`;
  setText(notice, text);
}
