// What the page shows is in its address, after the #, so that a link shows the same thing.

export const RANGES = ["15m", "1h", "6h", "24h", "7d"];
export const PAGES = ["overview", "global", "entity", "dashboards", "alarms", "agents"];

/** Parts of an address that are names or ids; each is null when it is not there. */
const NAMES = ["service", "instance", "endpoint", "to", "toInstance", "toEndpoint", "dashboard", "tab"];

/**
 * What the address asks for: page, range, around, and
 *   service, to: ids of services; with `to`, the calls from the first to the second
 *   instance, endpoint, toInstance, toEndpoint: names within these
 *   dashboard, tab: which one is shown
 */
export function read() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const range = parameters.get("range");
  const page = parameters.get("page");
  return {
    page: PAGES.includes(page) ? page : PAGES[0],
    ...Object.fromEntries(NAMES.map((name) => [name, parameters.get(name)])),
    range: RANGES.includes(range) ? range : RANGES[0],
    around: parameters.has("around"),
  };
}

/** The address for a view. */
export function link(view) {
  const parameters = new URLSearchParams();
  if (view.page && view.page !== PAGES[0]) parameters.set("page", view.page);
  for (const name of NAMES) if (view[name]) parameters.set(name, view[name]);
  if (view.range && view.range !== RANGES[0]) parameters.set("range", view.range);
  if (view.around) parameters.set("around", "");
  return `#${parameters}`;
}

/** The address of the page of a service, an instance, an endpoint, or of calls; the time range stays. */
export const entityLink = (entity) => link({ page: "entity", range: read().range, ...entity });

/** Show another view. Choosing a service is a step the Back button undoes; the rest is not. */
export function go(view, { replace = false } = {}) {
  if (replace) history.replaceState(null, "", link(view));
  else history.pushState(null, "", link(view));
  dispatchEvent(new Event("hashchange"));
}
