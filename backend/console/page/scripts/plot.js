// Charts over time, as options of the chart library; used by the charts of a service and by widgets of dashboards.

import { html } from "./dom.js";
import { ticks, timeOfDay } from "./format.js";

/** Colours of lines, in their order; styles/colours.css has them for each theme. */
export const COLORS = ["--line-1", "--line-2", "--line-3", "--line-4", "--line-5", "--line-6", "--line-7", "--line-8"];

/**
 * The option of a chart.
 *
 * times: Dates of the buckets' beginnings; minutes: length of a bucket
 * lines: {name, color, kind} each, where kind is line, area or bar; series: values or nulls of each line
 */
export function timeOption({ times, minutes, lines, series, format, top = null }) {
  const ink = color("--muted");
  const values = series.flat().filter((value) => value !== null);
  const least = Math.min(0, ...values);
  const axis = top === null ? ticks(Math.max(0, ...values), format) : { most: top, step: top / 4 };
  return {
    ...frame(),
    grid: { left: 8, right: 20, top: 10, bottom: 4, containLabel: true },
    tooltip: {
      ...tooltipFrame(),
      trigger: "axis",
      axisPointer: { lineStyle: { color: ink, type: "dashed" } },
      formatter: (items) => tooltip(times[items[0].dataIndex], items, format, minutes),
    },
    xAxis: {
      type: "time",
      axisLine: { lineStyle: { color: color("--edge") } },
      axisTick: { show: false },
      axisLabel: { color: ink, hideOverlap: true, fontSize: 11, formatter: (time) => momentOf(new Date(time), times) },
      splitLine: { show: false },
    },
    yAxis: {
      type: "value",
      min: least < 0 ? null : 0,
      max: least < 0 ? null : axis.most,
      interval: least < 0 ? null : axis.step,
      axisLabel: { color: ink, fontSize: 11, formatter: (value) => (value ? format(value) : "0") },
      splitLine: { lineStyle: { color: color("--grid") } },
    },
    series: lines.map(({ name, color: property, kind }, line) => ({
      name,
      type: kind === "bar" ? "bar" : "line",
      lineStyle: { width: 2, color: color(property) },
      itemStyle: { color: color(property) },
      areaStyle: kind === "area" ? { color: color(property), opacity: 0.16 } : null,
      symbolSize: 5,
      connectNulls: false,
      emphasis: { disabled: true },
      data: times.map((time, index) => ({
        value: [time.getTime(), series[line][index]],
        // A bucket between two without data has no line to be seen by.
        symbol: alone(series[line], index) ? "circle" : "none",
      })),
    })),
  };
}

/** The option of a heat map: a row for each line, a column for each bucket. */
export function heatOption({ times, minutes, lines, series, format }) {
  const ink = color("--muted");
  const cells = series.flatMap((values, row) => values.map((value, column) => [column, row, value])).filter(([, , value]) => value !== null);
  const most = Math.max(...cells.map(([, , value]) => value), 1e-9);
  const axis = { axisLine: { show: false }, axisTick: { show: false }, splitArea: { show: false } };
  return {
    ...frame(),
    grid: { left: 8, right: 20, top: 10, bottom: 4, containLabel: true },
    tooltip: {
      ...tooltipFrame(),
      formatter: ({ value: [column, row, value] }) => tooltip(times[column], [{ seriesName: lines[row].name, value: [0, value] }], format, minutes),
    },
    visualMap: { show: false, min: 0, max: most, inRange: { color: [color("--sunken"), color("--line-1")] } },
    xAxis: { ...axis, type: "category", data: times.map((time) => momentOf(time, times)), axisLabel: { color: ink, fontSize: 11, hideOverlap: true } },
    yAxis: { ...axis, type: "category", data: lines.map(({ name }) => name), axisLabel: { color: ink, fontSize: 11 } },
    series: [{ type: "heatmap", data: cells, itemStyle: { borderColor: color("--panel"), borderWidth: 1 }, emphasis: { disabled: true } }],
  };
}

const frame = () => ({
  animation: false,
  backgroundColor: "transparent",
  textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
});

const tooltipFrame = () => ({
  confine: true,
  transitionDuration: 0,
  backgroundColor: color("--raised"),
  borderColor: color("--edge"),
  textStyle: { color: color("--ink"), fontSize: 12 },
});

const alone = (numbers, at) => numbers[at] !== null && (numbers[at - 1] ?? null) === null && (numbers[at + 1] ?? null) === null;

/** A moment of a chart: the time of day, with the day when the chart spans several. */
function momentOf(time, times) {
  const days = (times.at(-1) - times[0]) / 86_400_000;
  return days > 1.5 ? `${time.toLocaleDateString([], { day: "numeric", month: "short" })} ${timeOfDay(time)}` : timeOfDay(time);
}

function tooltip(time, items, format, minutes) {
  const until = new Date(time.getTime() + minutes * 60_000);
  const rows = items.map(({ seriesName, value }) => html("li", {}, html("span", {}, seriesName), html("strong", {}, format(value[1]))));
  const head = minutes === 1 ? timeOfDay(time) : `${timeOfDay(time)} to ${timeOfDay(until)}`;
  return html("div", { class: "tip" }, html("p", {}, head), html("ul", {}, ...rows));
}

const probe = html("span", { hidden: true });
document.body.append(probe);

/** What a custom property is now: the chart library wants a colour that is worked out. */
export function color(property) {
  probe.className = `probe ${property.slice(2)}`;
  return getComputedStyle(probe).color;
}
