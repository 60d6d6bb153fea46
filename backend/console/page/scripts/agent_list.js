// The agents on the nodes: how much each sees of its node, what it lost, and when it was heard last.

import { byId, html, keyed, rebuild, setText } from "./dom.js";
import { bytes, count, NOTHING, rate } from "./format.js";

const MOST = 200; // rows
const NAMED = 3; // missing hooks in the summary
const NOT_TOLD = "not told";
const OF = { events: "events", logs: "logs", incomplete: "told incompletely" };

/** Show an answer of /api/agents. */
export function showAgents({ agents, lost, silent_after_seconds: patience }) {
  const shown = agents.toSorted((one, other) => urgency(other) - urgency(one)).slice(0, MOST); // stable: else by name
  setText(byId("nodes-note"), summary(agents, shown.length, lost, patience));
  byId("nodes-none").hidden = agents.length > 0;
  byId("nodes-table").hidden = agents.length === 0;
  keyed(byId("nodes-body"), shown, ({ cluster, node }) => JSON.stringify([cluster, node]), createRow, updateRow);
}

const lossesOf = ({ report }) => (report?.losses ?? []).filter(({ kind }) => kind !== "incomplete");
const missingOf = ({ report }) => (report ? Math.max(report.hooks.declared - report.hooks.attached, 0) : 0);
const going = (agent) => lossesOf(agent).some(({ per_minute: now }) => now > 0);

/** Silent ones come first, then those that are losing, then those that do not see all. */
const urgency = (agent) => (agent.is_silent ? 4 : 0) + (going(agent) ? 2 : 0) + (missingOf(agent) ? 1 : 0);

function summary(agents, shown, lost, patience) {
  if (!agents.length) return "";
  const silent = agents.filter((agent) => agent.is_silent).length;
  const parts = [`${count(agents.length)} heard within the hour`];
  parts.push(silent ? `${count(silent)} silent for ${ago(patience)} or more` : "none silent");
  if (shown < agents.length) parts.push(`${count(shown)} are shown`);
  const left = Object.entries(lost).map(([cause, number]) => `${count(number)} not kept: ${cause.replaceAll("_", " ")}`);
  return [...parts, ...left].join(" · ");
}

function updateRow(row, agent) {
  const { cluster, node, report, is_silent: silent, silence_seconds: silence } = agent;
  const [name, heard, hooks, lost, sent, memory, version] = row.children;
  row.classList.toggle("silent", silent);
  setText(name, cluster ? `${cluster}::${node}` : node || "without a name");
  setText(heard, silent ? `silent for ${ago(silence)}` : `${ago(silence)} ago`);
  heard.classList.toggle("bad", silent);
  fold(hooks, report && report.hooks, () => coverage(report.hooks));
  fold(lost, report && report.losses, () => losses(report.losses));
  lost.classList.toggle("bad", going(agent));
  setText(sent, report ? deliveries(report) : NOTHING);
  setText(memory, report ? bytes(report.resident_bytes) : NOTHING);
  setText(version, report ? [report.version || "not installed", report.kernel, report.attach_mode].filter(Boolean).join(" · ") : NOT_TOLD);
}

function deliveries({ logs: { delivered, waiting }, spool_bytes: spooled }) {
  const parts = [count(delivered), waiting ? `${count(waiting)} wait` : "", spooled ? `${bytes(spooled)} spooled` : ""];
  return parts.filter(Boolean).join(" · ");
}

/** Make a cell anew when what it is of differs; what was opened in it stays open. */
function fold(cell, of, make) {
  const open = cell.querySelector("details")?.open ?? false;
  rebuild(cell, of, () => (of ? make() : [NOT_TOLD]));
  const details = cell.querySelector("details");
  if (details) details.open = open;
}

function coverage({ attached, declared, missing }) {
  const text = `${count(attached)} of ${count(declared)}`;
  if (!missing.length) return [text];
  const more = missing.length > NAMED ? ` and ${count(missing.length - NAMED)} more` : "";
  const named = missing.slice(0, NAMED).map(({ name }) => name).join(", ");
  const items = missing.map(({ name, reason, lost }) =>
    html("li", {}, html("b", {}, name), ` – ${reason || "no reason told"}`, html("div", { class: "quiet" }, `lost: ${lost.join(", ") || "not told"}`)),
  );
  return [html("details", {}, html("summary", {}, `${text}, without ${named}${more}`), html("ul", { class: "causes" }, ...items))];
}

function losses(all) {
  if (!all.length) return ["nothing"];
  const totals = Object.keys(OF).map((kind) => [kind, all.filter((loss) => loss.kind === kind).reduce((sum, loss) => sum + loss.count, 0)]);
  const said = totals.filter(([, number]) => number).map(([kind, number]) => `${count(number)} ${OF[kind]}`);
  const items = all.map(({ kind, part, cause, count: number, per_minute: now }) => {
    const pace = now === null ? "" : ` · ${rate(now)}/min`;
    return html("li", {}, html("b", {}, `${part ? `${part}: ` : ""}${cause.replaceAll("_", " ")}`), ` – ${count(number)} ${OF[kind]}${pace}`);
  });
  return [html("details", {}, html("summary", {}, said.join(", ")), html("ul", { class: "causes" }, ...items))];
}

function ago(seconds) {
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`;
}

const LABELS = ["Last heard", "Hooks attached", "Lost since its start", "Logs sent", "Memory", "Agent"];

const createRow = () =>
  html("tr", {}, html("th", { scope: "row" }), ...LABELS.map((label) => html("td", { "data-label": label, class: /Logs|Memory/.test(label) ? "number" : null })));
