// The page of a service, an instance, an endpoint, of calls between two of them, or of all services: its dashboards.

import { entityLink, link, read } from "./address.js";
import { dashboards } from "./dashboards.js";
import { byId, html, rebuild, setText } from "./dom.js";
import { SCOPES, entityOf, scopeOf, serviceOf, titleOf } from "./entities.js";
import { SPANS, expressions, spanOf } from "./graphql.js";
import { createWidget, forget, showWidget } from "./widgets.js";

const KEPT = 30_000; // ms that dashboards are shown before they are asked for again

let known = { until: 0, dashboards: [] };
let drawn = ""; // what the widgets on the page are of
let last = null;

/** Ask for what the page shows. */
export async function ask(view, signal) {
  if (Date.now() > known.until) known = { until: Date.now() + KEPT, dashboards: await dashboards(signal) };
  const scope = scopeOf(view);
  const choice = known.dashboards.filter((dashboard) => dashboard.scope === scope);
  const dashboard = choice.find(({ name }) => name === view.dashboard) ?? choice[0] ?? null;
  const tab = dashboard?.tabs.find(({ title }) => title === view.tab) ?? dashboard?.tabs[0] ?? null;
  if (tab === null) return { choice, dashboard, tab, answers: [] };
  const entity = entityOf(view);
  const asked = tab.widgets.flatMap(({ lines }) => lines.map(({ expression }) => ({ expression, entity })));
  const answers = await expressions(asked, await spanOf(view.range, signal), signal);
  return { choice, dashboard, tab, answers };
}

/** Dashboards were changed: ask for them at the next refresh. */
export function forgetDashboards() {
  known = { until: 0, dashboards: [] };
}

/** Show the answers. */
export function show(view, answer) {
  last = { view, answer };
  const { choice, dashboard, tab, answers } = answer;
  setText(byId("entity-title"), titleOf(view));
  document.title = `${titleOf(view)} · pyrover`;
  const names = choice.map(({ name, title }) => [name, title]);
  rebuild(byId("entity-path"), view, () => path(view));
  rebuild(byId("entity-choice"), [view, names, dashboard?.name], () => choices(view, choice, dashboard));
  rebuild(byId("entity-tabs"), [view, dashboard?.name, dashboard?.tabs.map(({ title }) => title), tab?.title], () => tabs(view, dashboard, tab));
  const grid = byId("entity-widgets");
  if (tab === null) {
    forget(grid);
    drawn = "";
    grid.append(html("p", { class: "quiet blank" }, "There is no dashboard for this. The page Dashboards says which there are."));
    return;
  }
  const now = JSON.stringify([view.page, entityOf(view), dashboard.name, tab, view.range]);
  if (now !== drawn) {
    forget(grid);
    grid.append(...tab.widgets.map(createWidget));
    drawn = now;
  }
  const { step } = SPANS[view.range];
  let from = 0;
  tab.widgets.forEach((widget, index) => {
    showWidget(grid.children[index], widget, answers.slice(from, from + widget.lines.length), step);
    from += widget.lines.length;
  });
}

document.addEventListener("themechange", () => last && read().page === last.view.page && show(last.view, last.answer));

/** What leads to an entity: its service, and what kind of thing it is. */
function path(view) {
  const scope = scopeOf(view);
  const parts = [html("span", {}, SCOPES[scope].title)];
  const services = scope === "global" ? [] : [view.service, view.to].filter(Boolean);
  if (scope !== "service") for (const id of services) parts.push(html("a", { href: entityLink({ service: id }) }, serviceOf(id).name));
  if (services.length) parts.push(html("a", { href: link({ service: view.service, range: view.range }) }, "Show on the map"));
  return parts;
}

function choices(view, choice, dashboard) {
  if (choice.length < 2) return [];
  return choice.map(({ name, title }) => {
    const current = name === dashboard.name;
    return html("a", { href: link({ ...view, dashboard: name, tab: null }), "aria-current": current ? "true" : null }, title);
  });
}

function tabs(view, dashboard, tab) {
  if (!dashboard || dashboard.tabs.length < 2) return [];
  return dashboard.tabs.map(({ title }) => {
    const current = title === tab.title;
    return html("a", { href: link({ ...view, dashboard: view.dashboard, tab: title }), "aria-current": current ? "page" : null }, title);
  });
}
