// Services, instances, endpoints and the calls between them: their ids, and what GraphQL calls them.

/** Scopes of dashboards, in the order that they are offered, and what a page of them needs of an address. */
export const SCOPES = {
  global: { title: "All services" },
  service: { title: "A service" },
  instance: { title: "An instance" },
  endpoint: { title: "An endpoint" },
  "service relation": { title: "Calls between two services" },
  "instance relation": { title: "Calls between two instances" },
  "endpoint relation": { title: "Calls between two endpoints" },
};

/** Name of the service of an id, and whether it reports itself. */
export function serviceOf(id) {
  const [encoded, normal] = id.split(".");
  try {
    return { name: decoded(encoded), normal: normal === "1" };
  } catch {
    return { name: id, normal: true }; // an address that somebody changed
  }
}

/** Throws an Error when this is no name. */
function decoded(encoded) {
  const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

/** What the address of a service, an instance or an endpoint says, by its scope in GraphQL and its id; else null. */
export function placeOf(scope, id) {
  if (scope === "Service") return { service: id };
  const within = { ServiceInstance: "instance", Endpoint: "endpoint" }[scope];
  if (!within) return null;
  const [service, encoded] = id.split("_");
  return { service, [within]: decoded(encoded) };
}

/** The scope of the page that a view asks for. */
export function scopeOf({ page, service, instance, endpoint, to, toInstance, toEndpoint }) {
  if (page === "global" || !service) return "global";
  if (to) return instance && toInstance ? "instance relation" : endpoint && toEndpoint ? "endpoint relation" : "service relation";
  return instance ? "instance" : endpoint ? "endpoint" : "service";
}

/** What GraphQL is told of the entity of a view. */
export function entityOf(view) {
  const scope = scopeOf(view);
  if (scope === "global") return {};
  const { name, normal } = serviceOf(view.service);
  const entity = { serviceName: name, normal };
  if (scope.startsWith("instance")) entity.serviceInstanceName = view.instance;
  if (scope.startsWith("endpoint")) entity.endpointName = view.endpoint;
  if (scope.endsWith("relation")) {
    const called = serviceOf(view.to);
    Object.assign(entity, { destServiceName: called.name, destNormal: called.normal });
    if (scope.startsWith("instance")) entity.destServiceInstanceName = view.toInstance;
    if (scope.startsWith("endpoint")) entity.destEndpointName = view.toEndpoint;
  }
  return entity;
}

/** What a page of an entity is called. */
export function titleOf(view) {
  const scope = scopeOf(view);
  if (scope === "global") return "What stands out";
  const own = view.instance ?? view.endpoint ?? serviceOf(view.service).name;
  if (!scope.endsWith("relation")) return own;
  return `${own} → ${view.toInstance ?? view.toEndpoint ?? serviceOf(view.to).name}`;
}
