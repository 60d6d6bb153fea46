// The charts of one service.

import { echarts } from "../vendor/echarts/index.js";
import { byId, html, setText } from "./dom.js";
import { bytesPerSecond, duration, rate } from "./format.js";
import { timeOption } from "./plot.js";

const PREFIX = "kubernetes_service_";
const MINUTES = { minute: 1, hour: 60, day: 1440 };
const perSecond = (value, step) => (value === null ? null : value / (60 * MINUTES[step]));
const failed = ({ connect_cpm, connect_success_cpm }) => (connect_cpm === null ? null : connect_cpm - (connect_success_cpm ?? 0));

const CHARTS = [
  {
    title: "Connections",
    unit: "per minute",
    format: rate,
    lines: [
      { name: "Connects", color: "--line-1", value: ({ connect_cpm }) => connect_cpm },
      { name: "Accepts", color: "--line-2", value: ({ accept_cpm }) => accept_cpm },
      { name: "Failed", color: "--line-bad", value: failed },
    ],
  },
  {
    title: "Bytes",
    unit: "per second",
    format: bytesPerSecond,
    lines: [
      { name: "In", color: "--line-1", value: ({ read_package_size }, step) => perSecond(read_package_size, step) },
      { name: "Out", color: "--line-2", value: ({ write_package_size }, step) => perSecond(write_package_size, step) },
    ],
  },
  {
    title: "Reads and writes",
    unit: "per minute",
    format: rate,
    lines: [
      { name: "Reads", color: "--line-1", value: ({ read_cpm }) => read_cpm },
      { name: "Writes", color: "--line-2", value: ({ write_cpm }) => write_cpm },
    ],
  },
  {
    title: "Duration",
    unit: "mean per call",
    format: duration,
    lines: [
      { name: "Read", color: "--line-1", value: ({ read_time }) => read_time },
      { name: "Write", color: "--line-2", value: ({ write_time }) => write_time },
    ],
  },
];
const SUFFIXES = [
  "connect_cpm",
  "connect_success_cpm",
  "accept_cpm",
  "read_package_size",
  "write_package_size",
  "read_cpm",
  "write_cpm",
  "read_time",
  "write_time",
];

/** Names of the metrics that the charts show. */
export const METRICS = SUFFIXES.map((suffix) => PREFIX + suffix);

const cards = [];
let last = null;

/** Make the empty charts. */
export function prepareCharts() {
  for (const { title, unit, lines } of CHARTS) {
    const values = lines.map(() => html("output"));
    const legend = lines.map(({ name, color }, index) =>
      html("li", { class: color.slice(2) }, html("span", {}, name), values[index]),
    );
    const plot = html("div", { class: "plot" });
    const card = html(
      "section",
      { class: "card chart", "data-chart": title },
      html("header", {}, html("h3", {}, title), html("p", { class: "quiet" }, unit)),
      html("ul", { class: "legend" }, ...legend),
      plot,
    );
    byId("charts").append(card);
    cards.push({ card, plot, values, chart: null });
  }
  const observer = new ResizeObserver(() => cards.forEach(({ chart }) => chart?.resize()));
  observer.observe(byId("charts"));
  document.addEventListener("themechange", () => last && showCharts(last));
}

/** Show an answer of /api/metrics. */
export function showCharts(answer) {
  last = answer;
  const points = table(answer);
  CHARTS.forEach(({ lines, format, title }, index) => {
    const view = cards[index];
    if (!view.chart) {
      view.chart = echarts.init(view.plot, null, { renderer: "svg" });
      view.chart.group = "service";
      echarts.connect("service");
    }
    const series = lines.map(({ value }) => points.map((point) => value(point, answer.step)));
    const times = points.map(({ time }) => time);
    view.chart.setOption(timeOption({ times, minutes: MINUTES[answer.step], lines, series, format }), { notMerge: true });
    series.forEach((numbers, line) => setText(view.values[line], format(numbers.findLast((number) => number !== null) ?? null)));
    view.card.setAttribute("data-step", answer.step);
    view.plot.setAttribute("role", "img");
    const latest = lines.map(({ name }, line) => `${name} ${view.values[line].textContent}`).join(", ");
    view.plot.setAttribute("aria-label", `${title}: ${latest}`);
  });
}

/** The series of an answer as one object per bucket; a bucket that is not over would look like a drop and is left out. */
function table({ series, incomplete_from }) {
  const [first] = series;
  const rows = first.points.map(({ time }, index) => {
    const row = { time: new Date(time), began: time };
    series.forEach(({ name, points }) => (row[name.slice(PREFIX.length)] = points[index].value));
    return row;
  });
  const over = rows.filter(({ began }) => began !== incomplete_from);
  const hasData = (row) => SUFFIXES.some((suffix) => row[suffix] !== null);
  return over.some(hasData) ? over : rows;
}
