// The relations as a picture: services are links, calls are arrows. Plain SVG, so that the keyboard reaches every
// service and the styles of the page apply.

import { entityLink } from "./address.js";
import { html, setText, svg } from "./dom.js";
import { fold, namespaceOf, volume } from "./folding.js";
import { bytesPerSecond, count, duration, rate, share } from "./format.js";
import { arrangeLabels, rectangle, widthOf } from "./labels.js";
import { layout } from "./layout.js";
import { FAILING, TROUBLED } from "./measures.js";

const NODE = { width: 140, height: 44 };
// From middle to middle, when calls run to the right and when they run down: at least, and where there is room.
const ACROSS = { column: [NODE.width + 104, NODE.width + 136], row: [NODE.height + 26, NODE.height + 34] };
const DOWN = { column: [NODE.height + 54, NODE.height + 66], row: [NODE.width + 10, NODE.width + 22] };
const MARGIN = 34; // for the arrows that lead back
const TALL = 420; // pixels that the picture may take before it has to be scrolled
const DENSE = 14; // calls, of which the labels would hide each other
const LONGEST_NAME = 15; // characters that fit into a node

/**
 * Draw a topology into `parent`, and say in `note` what of it is not drawn. `measures` is what measures.js found of HTTP;
 * `view` has the selected service; `link` gives the address of one.
 */
export function drawGraph(parent, note, topology, services, measures, { service, around }, link) {
  performance.clearMeasures("graph");
  const begin = performance.now();
  const { nodes: visible, calls: drawn, said, namespace } = fold(topology, service, around);
  setText(note, said);
  parent.parentElement.classList.toggle("wide", namespace !== "");
  const focused = parent.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  if (!visible.length) {
    parent.replaceChildren(html("p", { class: "quiet blank" }, "No calls between services in this time."));
    return;
  }
  const places = layout(
    visible.map(({ id }) => id),
    drawn,
  );
  const frame = orient(places, parent.clientWidth, Math.max(parent.clientHeight, TALL));
  const known = new Map(services.map((each) => [each.id, each]));
  const names = new Map(visible.map(({ id, name }) => [id, name]));
  const most = Math.max(...drawn.map(volume));
  const dense = drawn.length > DENSE;
  const near = ({ source, target }) => source === service || target === service;
  const words = drawn.map((call) => wordsOf(call, measures.calls.get(call.id)));
  const paths = drawn.map((call, index) => {
    const route = { from: frame.point(places.nodes.get(call.source)), to: frame.point(places.nodes.get(call.target)), passed: places.routes[index].map(frame.point) };
    return path(route, frame.down, call, service, widthOf(words[index].lines));
  });
  const points = new Map(visible.map(({ id }) => [id, frame.point(places.nodes.get(id))]));
  // Those of the selected service have their choice before all others.
  const weight = (call) => volume(call) + (near(call) ? most + 1 : 0);
  const seen = (spot, lines) => {
    const { left, right, top, bottom } = rectangle(spot, lines);
    return left >= 0 && top >= 0 && right <= frame.width && bottom <= frame.height;
  };
  const labels = drawn.map((call, index) => {
    const [{ spots }, { lines }] = [paths[index], words[index]];
    const whole = spots.filter((spot) => seen(spot, lines));
    return { spots: whole.length ? whole : spots, lines, weight: weight(call) };
  });
  const shown = drawn.flatMap((call, index) => (!dense || near(call) ? [index] : [])); // the styles hide the others
  const passed = paths.flatMap(({ passes }) => passes ?? []);
  const arranged = arrangeLabels(shown.map((index) => labels[index]), [...points.values()].map(boxAt), passed);
  const spots = new Map(shown.map((index, place) => [index, arranged[place]]));
  const arrows = drawn.map((call, index) => {
    const { spot, free } = spots.get(index) ?? { spot: labels[index].spots[0], free: true };
    const place = { d: paths[index].d, at: spot, free };
    return drawCall(call, place, { share: volume(call) / (most || 1), near: near(call), names, words: words[index] });
  });
  const shorter = shortNames(visible, namespace);
  const boxes = visible.map((node) => {
    const state = node.members ? stateOfMembers(node, measures) : stateOf(node.observed, known.get(node.id), measures.services.get(node.id));
    return drawNode(node, points.get(node.id), { ...state, short: shorter.get(node.id), selected: service, link });
  });
  const picture = svg(
    "svg",
    { width: frame.width, height: frame.height, viewBox: `0 0 ${frame.width} ${frame.height}`, class: dense ? "dense" : null, role: "group", "aria-label": "Relations" },
    svg("defs", {}, arrowHead()),
    ...arrows.map(({ line }) => line),
    ...boxes,
    ...arrows.map(({ label }) => label),
  );
  parent.replaceChildren(picture);
  if (parent.dataset.shows !== service) {
    parent.dataset.shows = service;
    const box = places.nodes.get(service);
    if (box) centre(parent, frame.point(box));
  }
  if (focused) parent.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  performance.measure("graph", { start: begin, end: performance.now() }); // for the browser's timeline, and bench/console.py
}

const boxAt = ({ x, y }) => ({ left: x - NODE.width / 2, right: x + NODE.width / 2, top: y - NODE.height / 2, bottom: y + NODE.height / 2 });

const fits = (name) => [...name].length <= LONGEST_NAME;

/** What stands in each node: names without the open namespace, and others without theirs where that makes room. */
function shortNames(visible, namespace) {
  const within = (name) => (namespaceOf(name) ? name.slice(0, -namespaceOf(name).length - 1) : name);
  const times = new Map();
  for (const { name } of visible) times.set(within(name), (times.get(within(name)) ?? 0) + 1);
  const shorten = ({ name, members }) => {
    if (members) return name;
    if (namespace) return name.slice(0, -namespace.length - 1);
    return fits(name) || times.get(within(name)) > 1 ? name : within(name);
  };
  return new Map(visible.map((node) => [node.id, shorten(node)]));
}

function centre(parent, { x, y }) {
  parent.scrollTo(x - parent.clientWidth / 2, y - parent.clientHeight / 2);
}

/** Whether calls run to the right or down, whichever shows more in the space there is; and where places are then. */
function orient({ columns, rows }, width, height) {
  const sized = (wide, high) => {
    const x = fitted(wide, width - NODE.width - 2 * MARGIN);
    const y = fitted(high, height - NODE.height - 2 * MARGIN);
    return { x, y, width: wide.steps * x + NODE.width + 2 * MARGIN, height: high.steps * y + NODE.height + 2 * MARGIN };
  };
  const forward = { steps: columns - 1 };
  const aside = { steps: rows - 1 };
  const across = sized({ ...forward, between: ACROSS.column }, { ...aside, between: ACROSS.row });
  const down = sized({ ...aside, between: DOWN.row }, { ...forward, between: DOWN.column });
  const seen = (size) => Math.min(1, width / size.width) * Math.min(1, height / size.height);
  const turned = seen(down) > seen(across);
  const size = turned ? down : across;
  const middle = (rows - 1) / 2;
  const point = ({ column, row }) => {
    const [right, below] = turned ? [row + middle, column] : [column, row + middle];
    return { x: right * size.x + MARGIN + NODE.width / 2, y: below * size.y + MARGIN + NODE.height / 2 };
  };
  return { width: size.width, height: size.height, down: turned, point };
}

/** The step between places: the usual one, or less where all of them fit into the space then. */
function fitted({ steps, between: [least, usual] }, space) {
  const most = steps ? Math.floor(space / steps) : usual;
  return most >= least && most < usual ? most : usual;
}

function arrowHead() {
  const size = { markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse" };
  const tip = svg("path", { d: "M0 0 8 4 0 8Z" });
  return svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, ...size, orient: "auto" }, tip);
}

function drawNode({ id, name, observed, members, opens }, { x, y }, { short, detail, told, state, selected, link }) {
  const { width, height } = NODE;
  const shown = fits(short) ? short : `${[...short].slice(0, LONGEST_NAME - 1).join("")}…`;
  const box = { x: -width / 2, y: -height / 2, width, height, rx: 9 };
  const body = [
    svg("title", {}, `${name}, ${told}`),
    members ? svg("rect", { ...box, x: box.x + 5, y: box.y - 5, class: "behind" }) : null,
    svg("rect", box),
    state === null ? null : svg("circle", { class: `health-dot ${state}`, cx: -width / 2 + 3, cy: -height / 2 + 3, r: 5 }),
    svg("text", { class: "name", y: -3 }, shown),
    svg("text", { class: "sub", y: 13 }, detail),
  ];
  const group = { transform: `translate(${x} ${y})`, class: `node${observed ? "" : " unobserved"}${id === selected ? " selected" : ""}`, "data-key": id, "data-state": state };
  if (!observed) return svg("g", { ...group, role: "img", "aria-label": `${name}, ${told}` }, ...body);
  return svg("a", { ...group, href: link(opens ?? id), "aria-label": `${name}, ${told}`, "aria-current": id === selected ? "true" : null }, ...body);
}

/** The same as stateOf for a node that stands for several services: its health is the worst of theirs. */
function stateOfMembers({ members }, { services }) {
  const states = members.map((id) => services.get(id)).filter((http) => http && http.success !== null).map(healthOf);
  const failing = states.filter((state) => state === "failing").length;
  const state = ["failing", "troubled", "good"].find((each) => states.includes(each)) ?? null;
  const number = `${count(members.length)} service${members.length === 1 ? "" : "s"}`;
  return { detail: failing ? `${number} · ${count(failing)} failing` : number, told: failing ? `${number}, ${count(failing)} failing` : number, state };
}

const healthOf = ({ success }) => (success < FAILING ? "failing" : success < TROUBLED ? "troubled" : "good");

/** What stands in a node, the same in full, and its health: good, troubled, failing, or null when nothing says. */
function stateOf(observed, service, http) {
  if (!observed) return { detail: "not observed", told: "not observed", state: null };
  const instances = service?.instances ? `${count(service.instances)} instance${service.instances === 1 ? "" : "s"}` : "idle";
  if (!http) {
    const failures = service?.traffic.totals.connects_failed;
    const trouble = failures ? `, ${count(failures)} connects failed` : "";
    return { detail: instances, told: `${instances}${trouble}`, state: failures ? "troubled" : null };
  }
  const { success } = http;
  const state = success === null ? null : healthOf(http);
  const detail = `${rate(http.rate)}/min · ${duration(http.time)}`;
  const told = `${instances}, ${rate(http.rate)} HTTP calls a minute, ${duration(http.time)} each, ${share(success)} succeed`;
  return { detail, told, state };
}

/** What a label says, in two lines. */
function wordsOf(call, http) {
  const protocol = call.protocols[0] ?? "";
  const speed = volume(call) ? bytesPerSecond(volume(call)) : `${rate(call.rates.connects_per_minute ?? 0)} connects/min`;
  const often = http && http.rate !== null ? `${rate(http.rate)} calls/min${http.time === null ? "" : ` · ${duration(http.time)}`}` : `${rate(call.rates.writes_per_minute)} writes/min`;
  return { protocol, speed, often, lines: [`${protocol} ${speed}`, often] };
}

function drawCall(call, { d, at, free }, { share, near, names, words: { protocol, speed, often } }) {
  const failed = call.connects_failed > 0;
  const kind = `call${near ? " near" : ""}${failed ? " failed" : ""}`;
  const several = call.folded > 1 ? `${count(call.folded)} relations, ` : "";
  const told = `Calls from ${names.get(call.source)} to ${names.get(call.target)}: ${several}${protocol} ${speed}, ${often}${failed ? `, ${count(call.connects_failed)} connects failed` : ""}`;
  const line = svg(
    "path",
    { d, class: kind, "stroke-width": (1.2 + 2.6 * Math.sqrt(share)).toFixed(2), "marker-end": "url(#arrow)" },
    svg("title", {}, told),
  );
  line.dataset.source = call.source;
  line.dataset.target = call.target;
  line.dataset.protocol = protocol;
  const text = svg(
    "text",
    { class: `label ${kind}${at.beside ? " beside" : ""}${free ? "" : " crowded"}`, x: at.x, y: at.y },
    svg("tspan", { class: "protocol" }, protocol),
    ` ${speed}`,
    svg("tspan", { class: "often", x: at.x, dy: 13 }, often),
  );
  const target = svg("path", { d, class: "target" });
  // What stands for several calls has no page.
  if (call.folded) return { line: svg("g", {}, target, line), label: svg("g", { role: "img", "aria-label": told }, text) };
  const address = entityLink({ service: call.source, to: call.target });
  // The label is the link for the keyboard; the arrow is one for who points at it.
  const arrow = svg("a", { href: address, tabindex: -1, "aria-hidden": "true" }, target, line);
  return { line: arrow, label: svg("a", { href: address, "aria-label": told, "data-key": `call ${call.id}` }, text) };
}

/** The path of an arrow and the spots where its label, so wide, may be, best first. */
function path({ from, passed, to }, down, { source, target }, selected, width) {
  const half = { x: NODE.width / 2, y: NODE.height / 2 };
  if (source === target) {
    const top = from.y - half.y;
    const d = `M${from.x + 22} ${top}C${from.x + 32} ${top - 28} ${from.x - 32} ${top - 28} ${from.x - 22} ${top}`;
    return { d, spots: [{ x: from.x, y: top - 24 }] };
  }
  if (down ? to.y <= from.y : to.x <= from.x) return returning(from, to, half, down);
  // One smooth curve through the places it passes, leaving and entering along the direction of flow.
  const start = down ? { x: from.x, y: from.y + half.y } : { x: from.x + half.x, y: from.y };
  const end = down ? { x: to.x, y: to.y - half.y - 1 } : { x: to.x - half.x - 1, y: to.y };
  const points = [start, ...passed, end];
  const curves = points.slice(1).map((two, index) => {
    const one = points[index];
    const bend = { x: down ? 0 : (two.x - one.x) / 2, y: down ? (two.y - one.y) / 2 : 0 };
    return [one, { x: one.x + bend.x, y: one.y + bend.y }, { x: two.x - bend.x, y: two.y - bend.y }, two];
  });
  const d = curves.map(([, ...rest]) => `C${rest.map(({ x, y }) => `${x} ${y}`).join(" ")}`).join("");
  // Calls of the selected service lie close together at its end, so their labels go to the other.
  const parts = source === selected ? [[-1, 0.7], [-1, 0.5], [-1, 0.85], [0, 0.5], [-1, 0.3]] : target === selected ? [[0, 0.3], [0, 0.5], [0, 0.15], [-1, 0.5], [0, 0.7]] : [[0, 0.5], [0, 0.3], [-1, 0.7]];
  const clear = parts.flatMap(([index, part]) => clearSpots(curves.at(index), part, down, width));
  const close = parts.map(([index, part]) => along(curves.at(index), part)).map(({ x, y }) => (down ? { x: x + 8, y: y - 3, beside: true } : { x, y: y - 20 }));
  const passes = curves.flatMap((curve) => SAMPLES.map((part) => along(curve, part)));
  return { d: `M${start.x} ${start.y}${d}`, spots: [...clear, ...close], passes };
}

const STRAIGHT = 12; // pixels that a curve may lean and still be beside its label, all along it
const SAMPLES = [0.05, 0.15, 0.25, 0.35, 0.45, 0.5, 0.55, 0.65, 0.75, 0.85, 0.95]; // parts of a curve's way

/** Where a label does not lie on its own arrow: above and below a curve that leans, on the sides that it leaves free. */
function clearSpots(curve, part, down, width) {
  const { x, y } = along(curve, part);
  const lean = down ? curve[3].x - curve[0].x : curve[3].y - curve[0].y;
  const [left, right] = [x - 8 - width, x + 8];
  if (Math.abs(lean) < STRAIGHT) return down ? [{ x: right, y: y - 3, beside: true }, { x: left, y: y - 3, beside: true }] : [{ x, y: y - 20 }, { x, y: y - 40 }];
  const rises = lean < 0; // from the left to the right, as it is seen
  const above = { x: rises ? left : right, y: y - 18, beside: true };
  const below = { x: rises ? right : left, y: y + 12, beside: true };
  return down && rises ? [below, above] : [above, below]; // that on the left is read as that of what stands there
}

/** The point of a cubic curve at a part of its way. */
function along([one, two, three, four], part) {
  const rest = 1 - part;
  const mix = (axis) =>
    rest ** 3 * one[axis] + 3 * rest ** 2 * part * two[axis] + 3 * rest * part ** 2 * three[axis] + part ** 3 * four[axis];
  return { x: mix("x"), y: mix("y") };
}

/** A call that leads back to where calls come from, outside of the nodes. */
function returning(from, to, half, down) {
  if (down) {
    const side = Math.max(from.x, to.x) + half.x;
    const bow = side + 40;
    const d = `M${from.x + half.x} ${from.y + 8}C${bow} ${from.y + 8} ${bow} ${to.y + 8} ${to.x + half.x + 1} ${to.y + 8}`;
    const middle = (from.y + to.y) / 2 + 12;
    return { d, spots: [0, 30, -30].map((aside) => ({ x: side + 34, y: middle + aside, beside: true })) };
  }
  const bottom = Math.max(from.y, to.y) + half.y;
  const d = `M${from.x} ${from.y + half.y}C${from.x} ${bottom + 36} ${to.x} ${bottom + 36} ${to.x} ${to.y + half.y + 1}`;
  return { d, spots: [0, 50, -50].map((aside) => ({ x: (from.x + to.x) / 2 + aside, y: bottom + 24 })) };
}
