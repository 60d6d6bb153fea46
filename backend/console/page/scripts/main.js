// The page: asks the backend every few seconds and shows what it says.

import { go, link, read } from "./address.js";
import { get } from "./api.js";
import { METRICS, prepareCharts, showCharts } from "./charts.js";
import { showCalls, showInstances } from "./detail.js";
import { byId, setText } from "./dom.js";
import { showEndpoints } from "./endpoints.js";
import { count } from "./format.js";
import { drawGraph } from "./graph.js";
import { showAway, showHealth } from "./health.js";
import { prepareServices, showServices } from "./services.js";

// Longer spans are more work for the backend and change less.
const PERIODS = { "15m": 5_000, "1h": 5_000, "6h": 20_000, "24h": 60_000 }; // ms
const RETRY = 3_000; // ms
const FEW = 12; // services; a picture of more is offered around the selected one

let asking = new AbortController();
let timer = 0;
let shown = null; // the last answers

const viewOf = (service) => link({ ...read(), service });

/** The service to show: the one in the address, else the one with most traffic. */
function selected(services, asked) {
  if (services.some(({ id }) => id === asked)) return asked;
  const volume = ({ traffic: { totals } }) => (totals.bytes_read ?? 0) + (totals.bytes_written ?? 0);
  return services.toSorted((one, other) => volume(other) - volume(one))[0]?.id ?? null;
}

async function ask(view, signal) {
  const span = { start: `-${view.range}` };
  const [services, topology, status] = await Promise.all([
    get("/api/services", span, signal),
    get("/api/topology", span, signal),
    get("/api/status", {}, signal),
  ]);
  const service = selected(services.services, view.service);
  if (service === null) return { services, topology, status, service, missing: false };
  const [metrics, instances, endpoints] = await Promise.all([
    get("/api/metrics", { ...span, name: METRICS, entity: service }, signal),
    get(`/api/services/${encodeURIComponent(service)}/instances`, span, signal),
    get(`/api/services/${encodeURIComponent(service)}/endpoints`, span, signal),
  ]);
  const missing = view.service !== null && view.service !== service;
  return { services, topology, status, service, metrics, instances, endpoints, missing };
}

async function refresh() {
  clearTimeout(timer);
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const view = read();
  let wait = PERIODS[view.range];
  try {
    shown = await ask(view, signal);
    showAway(null);
    show();
  } catch (error) {
    if (signal.aborted) return; // a newer refresh is under way
    showAway(error);
    wait = RETRY;
  }
  byId("main").setAttribute("aria-busy", "false");
  if (!document.hidden) timer = setTimeout(refresh, wait);
}

function show() {
  const { services, topology, status, service, metrics, instances, endpoints, missing } = shown;
  const view = { ...read(), service };
  showHealth(status);
  byId("empty").hidden = service !== null;
  byId("content").hidden = service === null;
  document.title = "pyrover";
  if (service === null) {
    showEmpty(services);
    return;
  }
  const { name, layer, first_seen } = services.services.find(({ id }) => id === service);
  document.title = `${name} · pyrover`;
  showServices(services.services, service, viewOf);
  byId("around-label").hidden = topology.nodes.length <= FEW && !view.around;
  byId("around").checked = view.around;
  drawGraph(byId("graph"), topology, services.services, view, viewOf);
  byId("detail").hidden = false;
  setText(byId("detail-title"), name);
  const since = new Date(first_seen).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const instead = missing ? "The service in the address was not seen in this time; this is the busiest. " : "";
  setText(byId("detail-note"), `${instead}${layer} · seen since ${since}`);
  showCharts(metrics);
  showCalls(topology, service, viewOf);
  showInstances(instances);
  showEndpoints(endpoints);
}

function showEmpty({ known }) {
  setText(byId("empty-agent"), `pyrover-agent run --backend ${location.hostname || "127.0.0.1"}:11800`);
  setText(byId("empty-title"), known ? "Nothing in this time" : "No access logs yet");
  const text = known
    ? `${count(known)} service${known === 1 ? " was" : "s were"} seen earlier: choose a longer time range above. If something should be reporting now:`
    : "The backend is running and nothing has reported to it.";
  setText(byId("empty-text"), text);
}

function prepare() {
  prepareServices(() => shown && show());
  prepareCharts();
  for (const button of byId("range").querySelectorAll("input")) {
    button.addEventListener("change", () => go({ ...read(), range: button.value }, { replace: true }));
  }
  byId("around").addEventListener("change", ({ target }) => go({ ...read(), around: target.checked }, { replace: true }));
  const followAddress = () => {
    byId("range").querySelector(`[value="${read().range}"]`).checked = true;
    refresh();
  };
  addEventListener("hashchange", followAddress);
  addEventListener("popstate", followAddress);
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  followAddress();
}

prepare();
