// The endpoints of the selected service: which methods and paths are called, how fast and how well it answers.

import { entityLink } from "./address.js";
import { byId, html, keyed, setText } from "./dom.js";
import { bytes, count, duration, rate, share } from "./format.js";

const MOST = 50; // rows; more are for programs
const CLASSES = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const LABELS = ["Calls/min", "Success", "Mean time", "Request body", "Response body", "Statuses"];

/** Show an answer of /api/services/{id}/endpoints, which has those with most calls first. */
export function showEndpoints({ endpoints, known }, service) {
  const shown = endpoints.slice(0, MOST);
  keyed(byId("endpoints-body"), shown, ({ id }) => id, createEndpoint, (row, { name, totals, means, rates }) => {
    const [title, calls, success, time, request, response, statuses] = row.children;
    setText(title.firstElementChild, name);
    title.firstElementChild.href = entityLink({ service, endpoint: name });
    title.title = name;
    setText(calls, rate(rates.calls_per_minute));
    setText(success, share(rates.success));
    success.classList.toggle("bad", totals.failed > 0);
    success.title = totals.failed > 0 ? `${count(totals.failed)} of ${count(totals.calls)} calls failed` : "";
    setText(time, duration(means.time));
    setText(request, bytes(means.request_body_bytes));
    setText(response, bytes(means.response_body_bytes));
    showStatuses(statuses.firstElementChild, totals);
  });
  if (!shown.length) {
    const text = "No HTTP call was answered in this time.";
    byId("endpoints-body").append(html("tr", { class: "blank" }, html("td", { colspan: 7, class: "quiet" }, text)));
  }
  const all = `${count(known)} called`;
  setText(byId("endpoints-note"), known > MOST ? `${all}, the ${MOST} with most calls are shown` : all);
}

function showStatuses(list, totals) {
  const seen = CLASSES.map((name) => ({ name, calls: totals[`status_${name}`] })).filter(({ calls }) => calls > 0);
  keyed(list, seen, ({ name }) => name, createStatus, (item, { name, calls }) => {
    setText(item.firstElementChild, name);
    setText(item.lastElementChild, count(calls));
    item.classList.toggle("bad", name === "5xx");
  });
}

const createStatus = () => html("li", {}, html("span"), " ", html("b"));

function createEndpoint() {
  const [statuses, ...others] = LABELS.toReversed();
  const cells = others.toReversed().map((label) => html("td", { class: "number", "data-label": label }));
  const last = html("td", { "data-label": statuses }, html("ul", { class: "statuses" }));
  return html("tr", {}, html("th", { scope: "row" }, html("a")), ...cells, last);
}
