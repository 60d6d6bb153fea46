// The alarms that began in the time range, and those that last since before it.

import { entityLink } from "./address.js";
import { byId, html, keyed, rebuild, setText } from "./dom.js";
import { placeOf } from "./entities.js";
import { count, moment } from "./format.js";
import { query, spanOf } from "./graphql.js";

const MOST = 100; // rows that began in the range
const EARLIER = "30d"; // how far back those may have begun that last
const MOST_EARLIER = 1_000; // that are looked through for these: as many as the backend tells at once
const SHOWN = "{ total msgs { startTime recoveryTime scope id name message tags { key value } } }";
const DOCUMENT = `query ($range: Duration!, $most: Int!, $earlier: Duration!, $mostEarlier: Int!) {
  found: queryAlarms(condition: { duration: $range, paging: { pageNum: 1, pageSize: $most } }) ${SHOWN}
  all: queryAlarms(condition: { duration: $earlier, paging: { pageNum: 1, pageSize: $mostEarlier } }) ${SHOWN}
}`;

const lasts = ({ recoveryTime }) => recoveryTime === null;
const keyOf = ({ startTime, id, name, message }) => JSON.stringify([startTime, id, name, message]);

/** Ask for what the page shows. */
export async function ask(view, signal) {
  const [range, earlier] = await Promise.all([spanOf(view.range, signal), spanOf(EARLIER, signal)]);
  const { found, all } = await query(DOCUMENT, { range, most: MOST, earlier, mostEarlier: MOST_EARLIER }, signal);
  const { total, msgs } = found ?? { total: 0, msgs: [] };
  const known = new Set(msgs.map(keyOf));
  const standing = (all?.msgs ?? []).filter((alarm) => lasts(alarm) && !known.has(keyOf(alarm)));
  return { total, began: msgs, standing };
}

/** Show the answers. */
export function show(_view, { total, began, standing }) {
  document.title = "Alarms · pyrover";
  const alarms = [...began.filter(lasts), ...standing, ...began.filter((alarm) => !lasts(alarm))];
  const lasting = began.filter(lasts).length + standing.length;
  const more = total > began.length ? `, the latest ${count(began.length)} are shown` : "";
  setText(byId("alarms-note"), alarms.length ? `${count(lasting)} last · ${count(total)} began in this time${more}` : "");
  byId("alarms-empty").hidden = alarms.length > 0;
  byId("alarms-table").hidden = alarms.length === 0;
  keyed(byId("alarms-body"), alarms, keyOf, createRow, showRow);
}

function showRow(row, alarm) {
  const { startTime, recoveryTime, scope, id, name, message, tags } = alarm;
  const [what, text, began, state] = row.children;
  const place = placeOf(scope, id);
  const address = place && entityLink(place);
  rebuild(what, [address, name], () => [address ? html("a", { href: address }, name) : name]);
  const told = tags.map(({ key, value }) => `${key}: ${value}`).join(" · ");
  rebuild(text, [message, told], () => [html("div", {}, message, told ? html("div", { class: "quiet" }, told) : null)]);
  setText(began, moment(new Date(Number(startTime))));
  setText(state, lasts(alarm) ? "lasts" : `ended after ${length(recoveryTime - startTime)}`);
  state.classList.toggle("bad", lasts(alarm));
}

function length(milliseconds) {
  const minutes = Math.round(milliseconds / 60_000);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}

const createRow = () =>
  html("tr", {}, html("th", { scope: "row" }), ...["Message", "Began", "State"].map((label) => html("td", { "data-label": label })));
