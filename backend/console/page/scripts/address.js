// What the page shows is in its address, after the #, so that a link shows the same thing.

export const RANGES = ["15m", "1h", "6h", "24h"];

/** What the address asks for: {service, range, around}; service is null when it names none. */
export function read() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const range = parameters.get("range");
  return {
    service: parameters.get("service"),
    range: RANGES.includes(range) ? range : RANGES[0],
    around: parameters.has("around"),
  };
}

/** The address for a view. */
export function link({ service, range, around }) {
  const parameters = new URLSearchParams();
  if (service) parameters.set("service", service);
  if (range !== RANGES[0]) parameters.set("range", range);
  if (around) parameters.set("around", "");
  return `#${parameters}`;
}

/** Show another view. Choosing a service is a step the Back button undoes; the rest is not. */
export function go(view, { replace = false } = {}) {
  if (replace) history.replaceState(null, "", link(view));
  else history.pushState(null, "", link(view));
  dispatchEvent(new Event("hashchange"));
}
