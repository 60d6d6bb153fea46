// What is known about the selected service besides its charts: who it calls, who calls it, and its instances.

import { entityLink } from "./address.js";
import { byId, html, keyed, setText } from "./dom.js";
import { bytesPerSecond, count, rate } from "./format.js";

/** Show the calls of a service, those it makes first. */
export function showCalls({ nodes, calls }, service, link) {
  const byNode = new Map(nodes.map((node) => [node.id, node]));
  const own = [
    ...calls.filter(({ source }) => source === service),
    ...calls.filter(({ source, target }) => target === service && source !== service),
  ];
  keyed(byId("calls-body"), own, ({ id }) => id, createCall, (row, call) => {
    const made = call.source === service;
    const peer = byNode.get(made ? call.target : call.source);
    const [name, protocol, sent, received, connects] = row.children;
    setText(name.firstElementChild, made ? "→" : "←");
    setText(name.children[1], made ? "calls" : "is called by");
    setText(name.lastElementChild, peer.name);
    name.title = peer.name;
    if (peer.observed) name.lastElementChild.setAttribute("href", link(peer.id));
    else name.lastElementChild.removeAttribute("href");
    const relation = protocol.firstElementChild;
    setText(relation, call.protocols.join(", ") || "calls");
    relation.href = entityLink({ service: call.source, to: call.target });
    relation.setAttribute("aria-label", `Calls ${made ? "to" : "from"} ${peer.name}: ${relation.textContent}`);
    const [out, back] = [call.rates.bytes_sent_per_second, call.rates.bytes_received_per_second];
    setText(sent, bytesPerSecond(made ? out : back));
    setText(received, bytesPerSecond(made ? back : out));
    const trouble = call.connects_failed > 0 ? ` (${count(call.connects_failed)} failed)` : "";
    setText(connects, `${rate(call.rates.connects_per_minute)}${call.connects === null ? "" : "/min"}${trouble}`);
    connects.classList.toggle("bad", Boolean(trouble));
  });
  placeholder("calls-body", own.length, 5, "No calls in this time.");
}

function createCall() {
  const name = html("th", { scope: "row" }, html("span", { class: "arrow", "aria-hidden": "true" }), html("span", { class: "hidden" }), " ", html("a"));
  return html("tr", {}, name, html("td", { "data-label": "Protocol" }, html("a")), ...["Sent", "Received", "Connects"].map(number));
}

/** Show an answer of /api/services/{id}/instances. */
export function showInstances({ instances }, service) {
  keyed(byId("instances-body"), instances, ({ id }) => id, createInstance, (row, { name, traffic: { rates } }) => {
    const [title, ...numbers] = row.children;
    setText(title.firstElementChild, name);
    title.title = name;
    title.firstElementChild.href = entityLink({ service, instance: name });
    const texts = [
      perMinute(rates.reads_per_minute),
      perMinute(rates.writes_per_minute),
      bytesPerSecond(rates.bytes_read_per_second),
      bytesPerSecond(rates.bytes_written_per_second),
    ];
    texts.forEach((text, index) => setText(numbers[index], text));
  });
  placeholder("instances-body", instances.length, 5, "No instance in this time.");
}

const perMinute = (value) => (value === null ? rate(value) : `${rate(value)}/min`);

function createInstance() {
  return html("tr", {}, html("th", { scope: "row" }, html("a")), ...["Reads", "Writes", "In", "Out"].map(number));
}

const number = (label) => html("td", { class: "number", "data-label": label });

function placeholder(id, rows, columns, text) {
  if (!rows) byId(id).append(html("tr", { class: "blank" }, html("td", { colspan: columns, class: "quiet" }, text)));
}
