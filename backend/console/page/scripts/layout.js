// Where the nodes of a directed graph go: in columns, so that calls run from left to right. The same graph always
// gets the same picture. After Sugiyama, Tagawa and Toda (1981): break cycles, assign columns, add a place in every
// column that a long edge passes, order each column by its neighbours.

const SWEEPS = 6;

/**
 * @param {string[]} nodes distinct ids, in the order that breaks ties
 * @param {{source: string, target: string}[]} edges between these nodes
 * @returns {{columns: number, rows: number, nodes: Map<string, Place>, routes: Place[][]}} the size of the grid, the
 *   place of each node in it, and for each edge the places that it passes between its ends. A Place is {column, row};
 *   columns count from 0, rows from the middle one, and may end in a half.
 */
export function layout(nodes, edges) {
  const forward = withoutCycles(nodes, edges);
  const { order, byNode, links, passing } = places(nodes, forward, columns(nodes, forward));
  arrange(order, links);
  return {
    columns: order.length,
    rows: Math.max(0, ...order.map((column) => column.length)),
    nodes: byNode,
    routes: edges.map((_, index) => passing.get(index) ?? []),
  };
}

/** The edges that do not close a cycle, each pair once, with their indices. */
function withoutCycles(nodes, edges) {
  const outgoing = new Map(nodes.map((node) => [node, []]));
  edges.forEach(({ source, target }, index) => {
    if (source !== target) outgoing.get(source).push({ source, target, index });
  });
  const incoming = new Set(edges.filter(({ source, target }) => source !== target).map(({ target }) => target));
  // Start where calls come from, so that the edges that are left out are those that lead back.
  const starts = [...nodes.filter((node) => !incoming.has(node)), ...nodes];
  const state = new Map(); // 1 while its descendants are visited, 2 afterwards
  const kept = [];
  for (const start of starts) {
    if (state.has(start)) continue;
    const stack = [{ node: start, next: 0 }];
    state.set(start, 1);
    while (stack.length) {
      const frame = stack.at(-1);
      const edge = outgoing.get(frame.node)[frame.next++];
      if (!edge) {
        state.set(frame.node, 2);
        stack.pop();
      } else if (state.get(edge.target) !== 1) {
        kept.push(edge);
        if (!state.has(edge.target)) {
          state.set(edge.target, 1);
          stack.push({ node: edge.target, next: 0 });
        }
      }
    }
  }
  return kept;
}

/** The column of each node: one more than the last of those that call it. */
function columns(nodes, edges) {
  const column = new Map(nodes.map((node) => [node, 0]));
  const waiting = new Map(nodes.map((node) => [node, 0]));
  for (const { target } of edges) waiting.set(target, waiting.get(target) + 1);
  const ready = nodes.filter((node) => waiting.get(node) === 0);
  for (const node of ready) {
    for (const { source, target } of edges) {
      if (source !== node) continue;
      column.set(target, Math.max(column.get(target), column.get(node) + 1));
      waiting.set(target, waiting.get(target) - 1);
      if (waiting.get(target) === 0) ready.push(target);
    }
  }
  return column;
}

/** Columns of places: nodes, and a place for every edge in every column it passes. */
function places(nodes, edges, column) {
  const order = [];
  const put = (place) => (order[place.column] ??= []).push(place);
  const byNode = new Map();
  for (const node of nodes) {
    const place = { node, column: column.get(node) };
    byNode.set(node, place);
    put(place);
  }
  const links = [];
  const passing = new Map();
  for (const { source, target, index } of edges) {
    let from = byNode.get(source);
    const last = byNode.get(target);
    const passed = [];
    for (let at = from.column + 1; at < last.column; at += 1) {
      const place = { node: null, column: at };
      put(place);
      passed.push(place);
      links.push([from, place]);
      from = place;
    }
    links.push([from, last]);
    passing.set(index, passed);
  }
  return { order, byNode, links, passing };
}

/** Order each column by where its neighbours are, to and fro. */
function arrange(order, links) {
  const neighbours = new Map();
  for (const [left, right] of links) {
    for (const [place, other, side] of [
      [left, right, 1],
      [right, left, -1],
    ]) {
      const known = neighbours.get(place) ?? { [-1]: [], 1: [] };
      known[side].push(other);
      neighbours.set(place, known);
    }
  }
  const number = (column) => column.forEach((place, at) => (place.row = at - (column.length - 1) / 2));
  order.forEach(number);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const side = sweep % 2 ? 1 : -1;
    for (const column of side < 0 ? order : order.toReversed()) {
      const wish = new Map();
      for (const place of column) {
        const near = neighbours.get(place)?.[side] ?? [];
        wish.set(place, near.length ? near.reduce((sum, { row }) => sum + row, 0) / near.length : place.row);
      }
      column.sort((one, other) => wish.get(one) - wish.get(other)); // stable: ties keep their order
      number(column);
    }
  }
}
