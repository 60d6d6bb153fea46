// The page: asks the backend every few seconds and shows what it says.

import { go, link, read } from "./address.js";
import * as agents from "./agents.js";
import * as alarms from "./alarms.js";
import { get } from "./api.js";
import { prepareCharts } from "./charts.js";
import { byId } from "./dom.js";
import * as editor from "./editor.js";
import * as entity from "./entity.js";
import { showAway, showHealth } from "./health.js";
import { prepareKeys } from "./keys.js";
import * as overview from "./overview.js";
import { prepareSearch, prepareServices } from "./services.js";

// Longer spans are more work for the backend and change less.
const PERIODS = { "15m": 5_000, "1h": 5_000, "6h": 20_000, "24h": 60_000, "7d": 60_000 }; // ms
const RETRY = 3_000; // ms

/** What asks for a page and shows it, and the section that it is in. */
const PAGES = {
  overview: { ...overview, section: "overview" },
  global: { ...entity, section: "entity" },
  entity: { ...entity, section: "entity" },
  dashboards: { ...editor, section: "dashboards" },
  alarms: { ...alarms, section: "alarms" },
  agents: { ...agents, section: "agents" },
};

let asking = new AbortController();
let timer = 0;
let shown = null; // {page, thing, answer} of the last answers
let place = ""; // which page of which thing is shown

async function refresh() {
  clearTimeout(timer);
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const view = read();
  let wait = PERIODS[view.range];
  try {
    const [answer, status] = await Promise.all([PAGES[view.page].ask(view, signal), get("/api/status", {}, signal)]);
    shown = { page: view.page, thing: thingOf(view), answer };
    showAway(null);
    showHealth(status);
    show();
  } catch (error) {
    if (signal.aborted) return; // a newer refresh is under way
    showAway(error);
    // What is older may stay, but not as if it were what is asked for now.
    if (shown?.thing === thingOf(view)) show();
    else showSection(null);
    wait = RETRY;
  }
  byId("main").setAttribute("aria-busy", "false");
  if (!document.hidden) timer = setTimeout(refresh, wait);
}

/** Which page of which thing a view is, as text; other services on the map, tabs and ranges are the same. */
function thingOf({ page, service, instance, endpoint, to, toInstance, toEndpoint }) {
  const { section } = PAGES[page];
  return JSON.stringify([page === "global" ? page : section, section === "entity" ? [service, instance, endpoint, to, toInstance, toEndpoint] : null]);
}

function showSection(section) {
  for (const { section: each } of Object.values(PAGES)) byId(`page-${each}`).hidden = each !== section;
}

function show() {
  const view = read();
  if (!shown || shown.page !== view.page) return;
  showSection(PAGES[view.page].section);
  PAGES[view.page].show(view, shown.answer);
  // Another page begins at its top; another service on the map, or another tab, stays where it is.
  const now = thingOf(view);
  if (place && place !== now) scrollTo(0, 0);
  place = now;
}

/** Links of the menu keep the time range. */
function showMenu() {
  const { page, range } = read();
  for (const each of byId("menu").querySelectorAll("a")) {
    each.href = link({ page: each.dataset.page, range });
    const current = each.dataset.page === page || (page === "entity" && each.dataset.page === "overview");
    if (current) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
}

function prepare() {
  prepareServices(show);
  prepareSearch(show);
  prepareCharts();
  editor.prepareEditor(refresh);
  prepareKeys();
  byId("skip").addEventListener("click", () => byId("main").focus());
  for (const button of byId("range").querySelectorAll("input")) {
    button.addEventListener("change", () => go({ ...read(), range: button.value }, { replace: true }));
  }
  byId("around").addEventListener("change", ({ target }) => go({ ...read(), around: target.checked }, { replace: true }));
  const followAddress = () => {
    byId("range").querySelector(`[value="${read().range}"]`).checked = true;
    showMenu();
    refresh();
  };
  addEventListener("hashchange", followAddress);
  addEventListener("popstate", followAddress);
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  followAddress();
}

prepare();
