// The agents on the nodes, what they sent as far as the backend knows it, and which services they report.

import { entityLink } from "./address.js";
import { showAgents } from "./agent_list.js";
import { get } from "./api.js";
import { byId, html, keyed, rebuild, setText } from "./dom.js";
import { count, moment } from "./format.js";

const LOSSES = [
  ["logs", "dropped", "Logs that were no good"],
  ["logs", "refused", "Logs that could not be taken or stored; our agents send them again"],
  ["messages", "dropped", "Messages that could not be read"],
];

/** Ask for what the page shows. */
export async function ask(view, signal) {
  const [status, services, agents] = await Promise.all([
    get("/api/status", {}, signal),
    get("/api/services", { start: `-${view.range}` }, signal),
    get("/api/agents", {}, signal),
  ]);
  return { status, services, agents };
}

/** Show the answers. */
export function show(_view, { status, services, agents }) {
  document.title = "Agents · pyrover";
  showAgents(agents);
  const { logs, messages, uptime_seconds: uptime } = status;
  const numbers = [
    ["Backend runs for", since(uptime)],
    ["Messages received", count(messages.received)],
    ["Logs received", count(logs.received)],
    ["Logs stored", count(logs.stored)],
  ];
  const items = numbers.map(([name, text]) => html("div", {}, html("dt", {}, name), html("dd", {}, text)));
  byId("agents-numbers").replaceChildren(...items);
  const losses = LOSSES.flatMap(([of, what, meaning]) => Object.entries(status[of][what]).map(([cause, number]) => ({ cause, number, meaning })));
  byId("agents-lossless").hidden = losses.length > 0;
  byId("agents-losses").hidden = losses.length === 0;
  keyed(byId("agents-losses-body"), losses, ({ cause, meaning }) => `${meaning} ${cause}`, createLoss, (row, { cause, number, meaning }) => {
    setText(row.children[0], cause.replaceAll("_", " "));
    setText(row.children[1], meaning);
    setText(row.children[2], count(number));
  });
  byId("agents-none").hidden = services.services.length > 0;
  keyed(byId("agents-body"), services.services, ({ id }) => id, createService, (row, { id, name, layer, instances, last_seen }) => {
    const [title, kind, number, seen] = row.children;
    const address = entityLink({ service: id });
    rebuild(title, [address, name], () => [html("a", { href: address }, name)]);
    title.title = name;
    setText(kind, layer);
    setText(number, count(instances));
    setText(seen, moment(new Date(last_seen)));
  });
}

function since(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return "under 1 min";
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`;
}

const createLoss = () => html("tr", {}, html("th", { scope: "row" }), html("td", { "data-label": "What" }), html("td", { class: "number", "data-label": "Count" }));

const createService = () =>
  html("tr", {}, html("th", { scope: "row" }), html("td", { "data-label": "Layer" }), html("td", { class: "number", "data-label": "Instances" }), html("td", { class: "number", "data-label": "Last reported" }));
