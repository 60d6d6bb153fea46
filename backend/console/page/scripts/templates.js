// Dashboards that people make in the browser. They are kept as templates in the form of SkyWalking's booster-ui, so that
// it shows them too, and so that those it makes are shown here.

import { query } from "./graphql.js";

const LAYER = "K8S_SERVICE";
const ENTITIES = {
  global: "All",
  service: "Service",
  instance: "ServiceInstance",
  endpoint: "Endpoint",
  "service relation": "ServiceRelation",
  "instance relation": "ServiceInstanceRelation",
  "endpoint relation": "EndpointRelation",
};
const GRAPHS = { line: "Line", area: "Area", bar: "Bar", value: "Card", table: "TopList" };
const COLUMNS = 24;
const WIDTH = 8;
const HEIGHT = 14;
/** How the ids of templates begin that the backend makes of files, which are listed as files already. */
const OF_FILES = "pyrover-";

/** The kinds of widgets that can be kept. */
export const KINDS = Object.keys(GRAPHS);

/** The configuration of a template, for a dashboard with one tab. */
export function toConfiguration({ title, scope, tabs: [{ widgets }] }) {
  const children = widgets.map(({ title, kind, unit, lines }, index) => ({
    x: ((index * WIDTH) % COLUMNS),
    y: Math.floor((index * WIDTH) / COLUMNS) * HEIGHT,
    w: WIDTH,
    h: HEIGHT,
    i: String(index),
    type: "Widget",
    widget: { title },
    graph: { type: GRAPHS[kind], showXAxis: true, showYAxis: true },
    expressions: lines.map(({ expression }) => expression),
    metricConfig: lines.map(({ name }) => ({ unit, label: name ?? title })),
  }));
  return { name: title, layer: LAYER, entity: ENTITIES[scope], isRoot: false, isDefault: false, path: "", children };
}

/** The dashboard that a template is, or null when nothing of it can be shown here. */
export function fromTemplate({ id, configuration }) {
  let content;
  try {
    content = JSON.parse(configuration);
  } catch {
    return null;
  }
  const scope = Object.keys(ENTITIES).find((name) => ENTITIES[name] === content?.entity);
  if (!scope || content.layer !== LAYER || !Array.isArray(content.children)) return null;
  const loose = content.children.filter(({ type }) => type === "Widget").map(toWidget);
  const tabs = content.children
    .filter(({ type }) => type === "Tab")
    .flatMap(({ children }) => children ?? [])
    .map(({ name, children }) => ({ title: name, widgets: (children ?? []).map(toWidget) }));
  const shown = [{ title: content.name ?? id, widgets: loose }, ...tabs]
    .map(({ title, widgets }) => ({ title, widgets: widgets.filter((widget) => widget !== null) }))
    .filter(({ widgets }) => widgets.length);
  return shown.length ? { name: id, title: content.name ?? id, scope, origin: "console", tabs: shown } : null;
}

function toWidget({ type, expressions, graph, widget, metricConfig }) {
  const kind = KINDS.find((name) => GRAPHS[name] === graph?.type);
  if (type !== "Widget" || !kind || !expressions?.length) return null;
  const lines = expressions.map((expression, index) => ({ expression, name: metricConfig?.[index]?.label || null }));
  return { title: widget?.title || lines[0].name || expressions[0], kind, unit: metricConfig?.[0]?.unit || "number", lines };
}

/** All dashboards that are kept. */
export async function keptDashboards(signal) {
  const { getAllTemplates: templates } = await query("{ getAllTemplates { id configuration } }", {}, signal);
  return templates.filter(({ id }) => !id.startsWith(OF_FILES)).map(fromTemplate).filter((dashboard) => dashboard !== null);
}

const CHANGE = "id status message";

/** Keep a dashboard, in place of the one of an id or as a new one. Gives its id; throws an Error that says why not. */
export async function keep(dashboard, id, signal) {
  const configuration = JSON.stringify(toConfiguration(dashboard));
  const [document, setting] = id
    ? [`mutation ($setting: DashboardSetting!) { changed: changeTemplate(setting: $setting) { ${CHANGE} } }`, { id, configuration }]
    : [`mutation ($setting: NewDashboardSetting!) { changed: addTemplate(setting: $setting) { ${CHANGE} } }`, { configuration }];
  return outcome(await query(document, { setting }, signal));
}

/** Show a kept dashboard no more. Throws an Error that says why not. */
export async function remove(id, signal) {
  return outcome(await query(`mutation ($id: String!) { changed: disableTemplate(id: $id) { ${CHANGE} } }`, { id }, signal));
}

function outcome({ changed: { id, status, message } }) {
  if (!status) throw new Error(message);
  return id;
}
