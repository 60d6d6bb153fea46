// Where the time of a read or a write goes: bars as long as their times, each below the one that it lies within.

import { svg } from "./dom.js";

const ROW = 38; // pixels
const BAR = 13;
const LABEL = 14; // above its bar
const INDENT = 16; // of what lies within, for its name
const NARROWEST = 2; // a bar that has a time is seen

/** Draw stages into `parent`: {name, within, value} each, in order; a value may be null. `format` writes one. */
export function drawStages(parent, stages, format) {
  const width = Math.max(parent.clientWidth - 32, 220);
  const most = Math.max(...stages.map(({ value }) => value ?? 0));
  const parts = place(stages);
  const rows = parts.map(({ name, value, share, depth, start }, index) => {
    const top = index * ROW;
    const length = value === null || !most ? 0 : Math.max((value / most) * width, NARROWEST);
    const left = Math.min(most ? (start / most) * width : 0, width - length);
    const part = share === null ? "" : ` · ${Math.round(share * 100)} % of its outer stage`;
    return svg(
      "g",
      { transform: `translate(0 ${top})`, "data-stage": name },
      svg("title", {}, `${name}: ${format(value)}${part}`),
      svg("text", { x: depth * INDENT, y: LABEL - 3, class: "stage-name" }, name),
      svg("text", { x: width, y: LABEL - 3, class: "stage-value" }, format(value)),
      svg("rect", { class: "stage-track", x: 0, y: LABEL + 2, width, height: BAR, rx: 3 }),
      svg("rect", { class: `stage-bar depth-${Math.min(depth, 3)}`, x: left.toFixed(1), y: LABEL + 2, width: length.toFixed(1), height: BAR, rx: 3 }),
    );
  });
  const height = parts.length * ROW;
  const told = parts.map(({ name, value, within }) => `${name}${within ? ` (within ${within})` : ""} ${format(value)}`).join(", ");
  const picture = { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": told };
  parent.replaceChildren(svg("svg", picture, ...rows));
}

/** How deep each stage lies, where its bar begins, and which share of its outer stage it takes. */
export function place(stages) {
  const placed = new Map();
  const taken = new Map(); // by outer stage, where the next inner one begins
  for (const stage of stages) {
    const outer = stage.within === null ? null : placed.get(stage.within);
    const start = outer ? (taken.get(outer.name) ?? outer.start) : 0;
    if (outer) taken.set(outer.name, start + (stage.value ?? 0));
    const share = outer?.value && stage.value !== null ? stage.value / outer.value : null;
    placed.set(stage.name, { ...stage, depth: outer ? outer.depth + 1 : 0, start, share });
  }
  return [...placed.values()];
}
