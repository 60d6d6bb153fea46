// The first page: the services, their relations as a map, and the selected service.

import { entityLink, link, read } from "./address.js";
import { get } from "./api.js";
import { METRICS, showCharts } from "./charts.js";
import { showCalls, showInstances } from "./detail.js";
import { byId, html, rebuild, setText } from "./dom.js";
import { showEndpoints } from "./endpoints.js";
import { count, moment } from "./format.js";
import { drawGraph } from "./graph.js";
import { askMeasures } from "./measures.js";
import { showServices } from "./services.js";

const FEW = 12; // services; a picture of more is offered around the selected one

const viewOf = (service) => link({ ...read(), service });

/** The service to show: the one in the address, else the one with most traffic. */
function selected(services, asked) {
  if (services.some(({ id }) => id === asked)) return asked;
  const volume = ({ traffic: { totals } }) => (totals.bytes_read ?? 0) + (totals.bytes_written ?? 0);
  return services.toSorted((one, other) => volume(other) - volume(one))[0]?.id ?? null;
}

/** Ask for what the page shows. */
export async function ask(view, signal) {
  const span = { start: `-${view.range}` };
  const [services, topology] = await Promise.all([get("/api/services", span, signal), get("/api/topology", span, signal)]);
  const service = selected(services.services, view.service);
  if (service === null) return { services, topology, service, missing: false };
  const [metrics, instances, endpoints, measures] = await Promise.all([
    get("/api/metrics", { ...span, name: METRICS, entity: service }, signal),
    get(`/api/services/${encodeURIComponent(service)}/instances`, span, signal),
    get(`/api/services/${encodeURIComponent(service)}/endpoints`, span, signal),
    askMeasures(topology, service, view.range, signal),
  ]);
  const missing = view.service !== null && view.service !== service;
  return { services, topology, service, metrics, instances, endpoints, measures, missing };
}

/** Show the answers. */
export function show(asked, { services, topology, service, metrics, instances, endpoints, measures, missing }) {
  const view = { ...asked, service };
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
  byId("detail").hidden = false;
  setText(byId("detail-title"), name);
  const since = moment(new Date(first_seen));
  const instead = missing ? "The service in the address was not seen in this time; this is the busiest. " : "";
  setText(byId("detail-note"), `${instead}${layer} · seen since ${since}`);
  rebuild(byId("detail-links"), [service, view.range], () => [
    html("a", { href: entityLink({ service }) }, "All its numbers"),
    html("a", { href: entityLink({ service, tab: "Layers" }) }, "Where the time of a read and a write goes"),
  ]);
  showCharts(metrics);
  showCalls(topology, service, viewOf);
  showInstances(instances, service);
  showEndpoints(endpoints, service);
  // Last, when the page has its scroll bar: the picture is made for the width that is left.
  drawGraph(byId("graph"), byId("graph-note"), topology, services.services, measures, view, viewOf);
}

function showEmpty({ known }) {
  setText(byId("empty-agent"), `pyrover-agent run --backend ${location.hostname || "127.0.0.1"}:11800`);
  setText(byId("empty-title"), known ? "Nothing in this time" : "No access logs yet");
  const text = known
    ? `${count(known)} service${known === 1 ? " was" : "s were"} seen earlier: choose a longer time range above. If something should be reporting now:`
    : "The backend is running and nothing has reported to it.";
  setText(byId("empty-text"), text);
}
