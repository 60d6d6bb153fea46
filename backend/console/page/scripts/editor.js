// The page of dashboards: which there are, and a form that makes one.

import { entityLink, go, link, read } from "./address.js";
import { get } from "./api.js";
import { dashboards } from "./dashboards.js";
import { byId, html, rebuild, setText } from "./dom.js";
import { SCOPES } from "./entities.js";
import { forgetDashboards } from "./entity.js";
import { expressions, spanOf } from "./graphql.js";
import { KINDS, keep, remove } from "./templates.js";

const UNITS = ["number", "per minute", "per second", "bytes", "bytes per second", "ns", "ms", "%"];
const ORIGINS = { program: "comes with pyrover", file: "a file of yours", console: "made here" };
const HINTS = {
  line: "Each expression on a line of its own, such as kubernetes_service_http_call_time",
  value: "One number each, such as avg(kubernetes_service_http_call_time)",
  table: "A list, such as top_n(kubernetes_service_endpoint_http_call_time, 10, des)",
};
const MOST_WIDGETS = 30;
/** An entity that has every name which a scope needs, and no data: it is asked to hear what is wrong. */
const NOBODY = { serviceName: "-", serviceInstanceName: "-", endpointName: "-", destServiceName: "-", destServiceInstanceName: "-", destEndpointName: "-" };
const NAMES = {
  global: [],
  service: ["serviceName"],
  instance: ["serviceName", "serviceInstanceName"],
  endpoint: ["serviceName", "endpointName"],
  "service relation": ["serviceName", "destServiceName"],
  "instance relation": ["serviceName", "serviceInstanceName", "destServiceName", "destServiceInstanceName"],
  "endpoint relation": ["serviceName", "endpointName", "destServiceName", "destEndpointName"],
};

let changing = null; // id of the dashboard in the form, or null for a new one
let metrics = null; // names of metrics, once asked for
let again = null; // asks for the page anew
const named = new WeakMap(); // by the form of a widget, what its expressions were called by whoever made it

/** Ask for what the page shows. */
export async function ask(_view, signal) {
  metrics ??= (await get("/api/metrics/names", {}, signal)).metrics;
  const [all, services] = await Promise.all([dashboards(signal), get("/api/services", { start: `-${read().range}` }, signal)]);
  return { all, services: services.services };
}

/** Show the answers; the form is left as it is. */
export function show(_view, { all, services }) {
  document.title = "Dashboards · pyrover";
  const rowsOf = () => all.map((dashboard) => {
    const { name, title, scope, origin } = dashboard;
    const address = addressOf(scope, name, services);
    const actions = html("div", { class: "actions" });
    if (origin === "console") {
      // The form has one tab; what was made elsewhere with several would lose them.
      if (dashboard.tabs.length === 1) actions.append(button(`Change ${title}`, "Change", () => fill(dashboard)));
      actions.append(button(`Remove ${title}`, "Remove", () => drop(name, title)));
    }
    const head = html("th", { scope: "row", title }, address ? html("a", { href: address }, title) : title);
    return html("tr", { "data-key": name }, head, html("td", { "data-label": "Of" }, SCOPES[scope].title), html("td", { "data-label": "From" }, ORIGINS[origin]), html("td", {}, actions));
  });
  rebuild(byId("dashboards-body"), [all, services[0]?.id, read().range], rowsOf);
  if (!byId("editor-metrics").firstChild) suggest();
}

/** Where a dashboard is shown: on the page of the first service, if it is of services. */
function addressOf(scope, name, services) {
  if (scope === "global") return link({ page: "global", range: read().range, dashboard: name });
  if (scope === "service" && services.length) return entityLink({ service: services[0].id, dashboard: name });
  return null;
}

function button(label, text, act) {
  const made = html("button", { type: "button", "aria-label": label }, text);
  made.addEventListener("click", act);
  return made;
}

/** Make the form work; `refresh` asks for the page again. */
export function prepareEditor(refresh) {
  again = refresh;
  byId("editor-scope").append(...Object.entries(SCOPES).map(([scope, { title }]) => html("option", { value: scope }, title)));
  byId("editor-add").addEventListener("click", () => addWidget().querySelector("input").focus());
  byId("editor-check").addEventListener("click", async () => (await check()) && say("Every expression can be answered.", true));
  byId("editor-new").addEventListener("click", () => fill(null));
  byId("editor-scope").addEventListener("change", suggest);
  byId("editor").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!(await check())) return;
    try {
      const made = written();
      const id = await keep(made, changing, new AbortController().signal);
      forgetDashboards();
      const { services } = await get("/api/services", { start: `-${read().range}` }, new AbortController().signal);
      const address = addressOf(made.scope, id, services);
      fill(null);
      say(`${made.title} is kept.`, true);
      if (address) go({ ...read(), ...viewOf(address) });
      else again();
    } catch (error) {
      say(`It could not be kept: ${error.message}`);
    }
  });
  fill(null);
}

/** Show a dashboard no more, if whoever visits means it. */
async function drop(id, title) {
  if (!confirm(`Remove the dashboard ${title}?`)) return;
  try {
    await remove(id, new AbortController().signal);
    forgetDashboards();
    say(`${title} is removed.`, true);
  } catch (error) {
    say(`It could not be removed: ${error.message}`);
  }
  again();
}

const viewOf = (address) => Object.fromEntries(new URLSearchParams(address.slice(1)));

/** Put a dashboard into the form, or with null an empty one. */
function fill(dashboard) {
  changing = dashboard?.name ?? null;
  setText(byId("editor-title"), changing ? `Change ${dashboard.title}` : "Make a dashboard");
  byId("editor-name").value = dashboard?.title ?? "";
  byId("editor-scope").value = dashboard?.scope ?? "service";
  byId("editor-new").hidden = changing === null;
  byId("editor-widgets").replaceChildren();
  for (const widget of dashboard?.tabs.flatMap(({ widgets }) => widgets) ?? [null]) addWidget(widget);
  say("");
  suggest();
}

function addWidget(widget = null) {
  const place = byId("editor-widgets");
  const title = html("input", { name: "title", required: true, maxlength: 120, autocomplete: "off" });
  const kind = html("select", { name: "kind" }, ...KINDS.map((value) => html("option", { value }, value)));
  const units = UNITS.includes(widget?.unit ?? UNITS[0]) ? UNITS : [...UNITS, widget.unit];
  const unit = html("select", { name: "unit" }, ...units.map((value) => html("option", { value }, value)));
  const text = html("textarea", { name: "expressions", rows: 3, required: true, spellcheck: "false" });
  const hint = html("p", { class: "quiet" });
  title.value = widget?.title ?? "";
  kind.value = widget?.kind ?? "line";
  unit.value = widget?.unit ?? UNITS[0];
  text.value = widget?.lines.map(({ expression }) => expression).join("\n") ?? "";
  const explain = () => setText(hint, HINTS[kind.value] ?? HINTS.line);
  kind.addEventListener("change", explain);
  explain();
  const away = html("button", { type: "button" }, "Remove this widget");
  const group = html(
    "fieldset",
    { class: "widget-form" },
    html("legend", {}, "Widget"),
    html("label", {}, html("span", {}, "Title"), title),
    html("label", {}, html("span", {}, "Kind"), kind),
    html("label", {}, html("span", {}, "Unit"), unit),
    html("label", { class: "whole" }, html("span", {}, "Expressions"), text),
    hint,
    away,
  );
  named.set(group, new Map(widget?.lines.map(({ expression, name }) => [expression, name])));
  away.addEventListener("click", () => {
    group.remove();
    byId("editor-add").disabled = place.children.length >= MOST_WIDGETS;
  });
  place.append(group);
  byId("editor-add").disabled = place.children.length >= MOST_WIDGETS;
  return group;
}

/** List the metrics of the chosen scope below the form. */
function suggest() {
  const of = { service: "K8SService", instance: "K8SServiceInstance", endpoint: "K8SEndpoint", "service relation": "K8SServiceRelation", "instance relation": "K8SServiceInstanceRelation", "endpoint relation": "K8SEndpointRelation" };
  const wanted = of[byId("editor-scope").value] ?? "K8SService";
  const names = (metrics ?? []).filter(({ scope }) => scope === wanted).map(({ name, unit }) => html("li", {}, html("code", {}, name), ` ${unit}`));
  byId("editor-metrics").replaceChildren(...names);
}

/** What the form says. */
function written() {
  const widgets = [...byId("editor-widgets").children].map((group) => {
    const value = (name) => group.querySelector(`[name="${name}"]`).value.trim();
    const texts = value("expressions").split("\n").map((line) => line.trim()).filter(Boolean);
    const names = named.get(group);
    const lines = texts.map((expression) => ({ expression, name: names.get(expression) ?? (texts.length > 1 ? expression : null) }));
    return { title: value("title"), kind: value("kind"), unit: value("unit"), lines };
  });
  return { title: byId("editor-name").value.trim(), scope: byId("editor-scope").value, tabs: [{ title: "", widgets }] };
}

/** Whether everything can be answered; says what is wrong. */
async function check() {
  const { title, scope, tabs: [{ widgets }] } = written();
  if (!title) return say("Give the dashboard a name.");
  if (!widgets.length) return say("Add a widget: there is nothing to show.");
  const empty = widgets.find(({ title, lines }) => !title || !lines.length);
  if (empty) return say(`Give ${empty.title ? `the widget ${empty.title} an expression` : "each widget a title"}.`);
  const entity = Object.fromEntries(NAMES[scope].map((name) => [name, NOBODY[name]]));
  const asked = widgets.flatMap(({ title, lines }) => lines.map(({ expression }) => ({ title, expression, entity })));
  try {
    const { signal } = new AbortController();
    const answers = await expressions(asked, await spanOf("15m", signal), signal);
    const wrong = answers.findIndex(({ error }) => error);
    if (wrong >= 0) return say(`${asked[wrong].title}: ${answers[wrong].error}`);
  } catch (error) {
    return say(`The expressions could not be checked: ${error.message}`);
  }
  return true;
}

function say(text, good = false) {
  const place = byId("editor-said");
  place.classList.toggle("bad", !good && text !== "");
  setText(place, text);
  return false;
}
