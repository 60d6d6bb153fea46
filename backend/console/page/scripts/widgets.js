// Widgets of dashboards: cards with a picture or a table of what their expressions give.

import { echarts } from "../vendor/echarts/index.js";
import { entityLink } from "./address.js";
import { html, rebuild, setText } from "./dom.js";
import { formatOf } from "./format.js";
import { SECONDS, numberOf } from "./graphql.js";
import { COLORS, heatOption, timeOption } from "./plot.js";
import { drawStages } from "./stages.js";

const charts = new Map(); // by plot
const observer = new ResizeObserver((entries) => entries.forEach(({ target }) => charts.get(target)?.resize()));

/** The card of a widget, which shows nothing yet. */
export function createWidget({ title, kind, note }) {
  const head = html("header", {}, html("h3", {}, title));
  const wide = kind === "stages" || kind === "heat map" ? " wide" : "";
  return html(
    "section",
    { class: `card widget${wide}`, "aria-label": title, "data-widget": title, "data-kind": kind },
    head,
    note ? html("p", { class: "note quiet" }, note) : null,
    html("div", { class: "body" }),
  );
}

/** Let go of what the cards in a place hold. */
export function forget(parent) {
  for (const plot of parent.querySelectorAll(".plot")) {
    charts.get(plot)?.dispose();
    charts.delete(plot);
    observer.unobserve(plot);
  }
  parent.replaceChildren();
}

/** Show in a card what the expressions of its widget gave; `step` is that of the buckets. */
export function showWidget(card, widget, answers, step) {
  const body = card.querySelector(".body");
  const wrong = answers.find(({ error }) => error);
  card.classList.toggle("wrong", Boolean(wrong));
  if (wrong) return say(body, `This cannot be answered: ${wrong.error}`);
  const format = formatOf(widget.unit ?? "number");
  const scale = widget.per ? (widget.per === "second" ? SECONDS[step] : SECONDS[step] / 60) : 1;
  const scaled = (value) => (value === null ? null : Number(value) / scale);
  if (widget.kind === "table") return showTable(body, answers[0], scaled, format);
  if (widget.kind === "value" || widget.kind === "stages") {
    const numbers = widget.lines.map(({ name, within }, index) => {
      return { name: name ?? widget.title, within: within ?? null, value: scaled(numberOf(answers[index])) };
    });
    if (numbers.every(({ value }) => value === null)) return say(body, "No data in this time.");
    return widget.kind === "value" ? showValues(body, numbers, format) : showStages(body, numbers, format);
  }
  return showTimes(card, body, widget, answers, { scaled, format, step });
}

function say(body, text) {
  if (body.querySelector(".plot")) forget(body);
  rebuild(body, text, () => [html("p", { class: "quiet blank" }, text)]);
}

function showStages(body, stages, format) {
  drawStages(body, stages, format);
}

function showValues(body, numbers, format) {
  const rows = numbers.map(({ name, value }) => html("div", {}, html("dt", {}, name), html("dd", {}, format(value))));
  rebuild(body, numbers, () => [html("dl", { class: "values" }, ...rows)]);
}

function showTable(body, { results }, scaled, format) {
  const values = results[0]?.values ?? [];
  if (!values.length) return say(body, "No data in this time.");
  const most = Math.max(...values.map(({ value }) => Number(value ?? 0)), 1e-9);
  const rowsOf = () => values.map(({ id, value, owner }) => {
    const name = owner ? html("a", { href: entityLink(placeOf(owner)) }, id) : id;
    const share = html("meter", { min: 0, max: most, value: Number(value ?? 0), "aria-hidden": "true" });
    return html("tr", {}, html("th", { scope: "row", title: id }, name), html("td", {}, share), html("td", { class: "number" }, format(scaled(value))));
  });
  rebuild(body, values, () => [html("table", {}, html("tbody", {}, ...rowsOf()))]);
}

const placeOf = ({ serviceID, serviceInstanceName, endpointName }) => ({ service: serviceID, instance: serviceInstanceName, endpoint: endpointName });

function showTimes(card, body, widget, answers, { scaled, format, step }) {
  const lines = answers.flatMap((answer, index) => answer.results.map((result) => lineOf(widget, index, result, answer)));
  const first = lines[0]?.values ?? [];
  // A bucket that is not over would look like a drop and is left out where there is anything else.
  const hasData = (at) => lines.some(({ values }) => values[at].value !== null);
  const some = first.some((_, at) => hasData(at));
  if (!some) return say(body, "No data in this time.");
  const kept = first.slice(0, -1).some((_, at) => hasData(at)) ? first.length - 1 : first.length;
  const times = first.slice(0, kept).map(({ id }) => new Date(Number(id)));
  const series = lines.map(({ values }) => values.slice(0, kept).map(({ value }) => scaled(value)));
  const drawn = lines.map(({ name }, index) => ({ name, color: COLORS[index % COLORS.length], kind: widget.kind }));
  const latest = series.map((numbers) => format(numbers.findLast((number) => number !== null) ?? null));
  let plot = body.querySelector(".plot");
  if (!plot) {
    rebuild(body, "plot", () => [html("ul", { class: "legend" }), html("div", { class: "plot", role: "img" })]);
    plot = body.lastElementChild;
    charts.set(plot, echarts.init(plot, null, { renderer: "svg" }));
    observer.observe(plot);
  }
  showLegend(body.querySelector(".legend"), drawn, latest, widget.kind);
  plot.setAttribute("aria-label", `${widget.title}: ${drawn.map(({ name }, index) => `${name} ${latest[index]}`).join(", ")}`);
  card.dataset.step = step;
  const option = widget.kind === "heat map" ? heatOption : timeOption;
  const whole = wholeOf(widget);
  const top = series.flat().every((value) => value <= whole) ? whole : null;
  charts.get(plot).setOption(option({ times, minutes: SECONDS[step] / 60, lines: drawn, series, format, top }), { notMerge: true });
}

const APDEX = /_apdex\s*\/\s*10000$/; // the store has ten thousandths

/** What no value of a widget can exceed, against which it is seen: 100 of a share in percent, 1 of an Apdex; else null. */
export function wholeOf({ unit = "number", lines }) {
  if (unit === "%") return 100;
  return unit === "number" && lines.every(({ expression }) => APDEX.test(expression.trim())) ? 1 : null;
}

function showLegend(legend, lines, latest, kind) {
  const items = lines.map(({ name, color }, index) => {
    const value = html("output");
    setText(value, latest[index]);
    return html("li", { class: kind === "heat map" ? "plain" : color.slice(2) }, html("span", {}, name), value);
  });
  legend.replaceChildren(...items);
}

function lineOf({ title, lines }, index, { metric, values }, { results }) {
  const own = lines[index].name ?? title;
  const labels = metric.labels.map(({ key, value }) => (key === "p" ? `p${value}` : value)).join(" ");
  return { name: labels ? (lines.length > 1 ? `${own} ${labels}` : labels) : results.length > 1 ? `${own} ${index + 1}` : own, values };
}
