// The alarms that began in the time range.

import { entityLink } from "./address.js";
import { byId, html, keyed, rebuild, setText } from "./dom.js";
import { count, moment } from "./format.js";
import { query, spanOf } from "./graphql.js";

const MOST = 100; // rows
const SHOWN = "{ total msgs { startTime recoveryTime scope id name message tags { key value } } }";
const DOCUMENT = `query ($condition: AlarmQueryCondition!) { found: queryAlarms(condition: $condition) ${SHOWN} }`;

/** Ask for what the page shows. */
export async function ask(view, signal) {
  const condition = { duration: await spanOf(view.range, signal), paging: { pageNum: 1, pageSize: MOST } };
  const { found } = await query(DOCUMENT, { condition }, signal);
  return found ?? { total: 0, msgs: [] };
}

/** Show the answers. */
export function show(_view, { total, msgs }) {
  document.title = "Alarms · pyrover";
  const lasting = msgs.filter(({ recoveryTime }) => recoveryTime === null).length;
  const more = total > msgs.length ? `, the latest ${count(msgs.length)} are shown` : "";
  setText(byId("alarms-note"), total ? `${count(total)} began${more} · ${count(lasting)} last` : "");
  byId("alarms-empty").hidden = msgs.length > 0;
  byId("alarms-table").hidden = msgs.length === 0;
  const key = ({ startTime, id, message }) => `${startTime} ${id} ${message}`;
  keyed(byId("alarms-body"), msgs, key, createRow, (row, { startTime, recoveryTime, scope, id, name, message }) => {
    const [what, text, began, state] = row.children;
    const address = scope === "Service" ? entityLink({ service: id }) : null;
    rebuild(what, [address, name], () => [address ? html("a", { href: address }, name) : name]);
    setText(text, message);
    setText(began, moment(new Date(Number(startTime))));
    setText(state, recoveryTime === null ? "lasts" : `ended after ${length(recoveryTime - startTime)}`);
    state.classList.toggle("bad", recoveryTime === null);
  });
}

function length(milliseconds) {
  const minutes = Math.round(milliseconds / 60_000);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}

const createRow = () =>
  html("tr", {}, html("th", { scope: "row" }), ...["Message", "Began", "State"].map((label) => html("td", { "data-label": label })));
