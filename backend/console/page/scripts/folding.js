// What of a topology is drawn when all of it would be too much to read: the namespace of the selected service is open, of
// it the services that say most about it, and each other namespace is one node. Arrows of what is one node are one arrow.

const FEW = { nodes: 50, calls: 120 }; // of which everything is drawn
const OPEN = 20; // services of the open namespace, and services around the selected one
const NAMESPACES = 12;
const CALLS = { own: 70, between: 20 }; // arrows of open services, and arrows between folded ones

/** Bytes per second of a call, in both directions. */
export const volume = ({ rates }) => (rates.bytes_sent_per_second ?? 0) + (rates.bytes_received_per_second ?? 0);

/** What stands behind the last dot of a service's name; empty for names without one, for addresses and for ports. */
export function namespaceOf(name) {
  const found = /^[^/]*[^./]\.(?<namespace>[a-z0-9-]*[a-z][a-z0-9-]*)$/i.exec(name);
  return found && !/^[\d.]+$/.test(name) ? found.groups.namespace : "";
}

/**
 * @returns {{nodes: object[], calls: object[], said: string, namespace: string}} nodes and calls as those of a topology, and what to say of
 *   what is not drawn. A node that stands for several has `members`, their ids, and `opens`, the id of the busiest one
 *   that can be selected, or null; a call with such an end has `folded`, how many it stands for. `namespace` is the open
 *   one when there is one, so that names can do without it.
 */
export function fold({ nodes, calls }, selected, around) {
  if (around) return near(nodes, calls, selected);
  if (nodes.length <= FEW.nodes && calls.length <= FEW.calls) return { nodes, calls, said: "", namespace: "" };
  const busy = busyness(calls);
  const chosen = nodes.length <= FEW.nodes ? nodes : open(nodes, calls, selected, busy);
  const folded = nodes.length <= FEW.nodes ? [] : groups(nodes, chosen, selected, busy);
  const stands = new Map(chosen.map(({ id }) => [id, id]));
  for (const { id, members } of folded) for (const member of members) stands.set(member, id);
  const joined = join(calls, stands, new Set(folded.map(({ id }) => id)));
  const drawn = most(joined, selected, stands);
  const shown = drawn.reduce((sum, call) => sum + (call.folded ?? 1), 0);
  const all = [...chosen, ...folded];
  const ends = new Set(drawn.flatMap(({ source, target }) => [source, target]));
  return {
    // An open service without an arrow would say nothing that the table does not.
    nodes: all.filter(({ id, members }) => members || id === selected || ends.has(id)),
    calls: drawn,
    said: sayOf(folded, shown, calls.length),
    namespace: folded.length ? namespaceOf(nameOf(nodes, selected)) : "",
  };
}

function sayOf(folded, shown, all) {
  const number = (count) => count.toLocaleString("en");
  const arrows = shown < all ? `${number(shown)} of ${number(all)} relations, those with most bytes` : "";
  const services = folded.length ? "One namespace is open; a click on another opens it" : "";
  return [services, arrows].filter(Boolean).join(". ");
}

/** The selected service with those that it talks with, the busiest first. */
function near(nodes, calls, selected) {
  const own = calls.filter(({ source, target }) => source === selected || target === selected).toSorted((one, other) => volume(other) - volume(one));
  const shown = new Set(own.length ? [selected] : []);
  for (const { source, target } of own) if (shown.size <= OPEN) shown.add(source === selected ? target : source);
  const all = new Set(own.flatMap(({ source, target }) => [source, target]));
  const said = shown.size < all.size ? `${shown.size - 1} of ${all.size - 1} services, those with most bytes` : "";
  return { nodes: nodes.filter(({ id }) => shown.has(id)), calls: own.filter(({ source, target }) => shown.has(source) && shown.has(target)), said, namespace: "" };
}

const nameOf = (nodes, selected) => nodes.find(({ id }) => id === selected)?.name ?? "";

function busyness(calls) {
  const busy = new Map();
  for (const call of calls) for (const end of new Set([call.source, call.target])) busy.set(end, (busy.get(end) ?? 0) + volume(call));
  return busy;
}

/** Services of the selected one's namespace: itself, those that it talks with, and the busiest of the others. */
function open(nodes, calls, selected, busy) {
  const namespace = namespaceOf(nameOf(nodes, selected));
  const neighbours = new Set(calls.filter(({ source, target }) => source === selected || target === selected).flatMap(({ source, target }) => [source, target]));
  const rank = ({ id }) => (id === selected ? 2 : neighbours.has(id) ? 1 : 0);
  const before = (one, other) => rank(other) - rank(one) || (busy.get(other.id) ?? 0) - (busy.get(one.id) ?? 0);
  return nodes.filter(({ name }) => namespaceOf(name) === namespace).toSorted(before).slice(0, OPEN);
}

/** A node for each namespace, the busiest; one for all others, and one for what of the open one is not shown. */
function groups(nodes, chosen, selected, busy) {
  const shown = new Set(chosen.map(({ id }) => id));
  const own = namespaceOf(nameOf(nodes, selected));
  const spaces = new Map();
  for (const node of nodes) {
    if (shown.has(node.id)) continue;
    const space = namespaceOf(node.name);
    if (!spaces.has(space)) spaces.set(space, []);
    spaces.get(space).push(node);
  }
  const rest = spaces.get(own) ?? [];
  spaces.delete(own);
  const sum = (members) => members.reduce((total, { id }) => total + (busy.get(id) ?? 0), 0);
  const ranked = [...spaces].toSorted(([, one], [, other]) => sum(other) - sum(one));
  const made = ranked.slice(0, NAMESPACES).map(([space, members]) => group(`namespace ${space}`, space || "no namespace", members, busy));
  const others = ranked.slice(NAMESPACES);
  if (others.length) made.push(group("namespaces", `${others.length} namespaces`, others.flatMap(([, members]) => members), busy));
  if (rest.length) made.push(group("rest", own ? `others of ${own}` : "others", rest, busy));
  return made;
}

function group(id, name, members, busy) {
  const selectable = members.filter(({ observed }) => observed).toSorted((one, other) => (busy.get(other.id) ?? 0) - (busy.get(one.id) ?? 0));
  return { id, name, service: name, observed: selectable.length > 0, members: members.map((member) => member.id), opens: selectable[0]?.id ?? null };
}

/** Calls between what is drawn; those that have a folded end in common are one. */
function join(calls, stands, folded) {
  const joined = new Map();
  for (const call of calls) {
    const [source, target] = [stands.get(call.source), stands.get(call.target)];
    if (!folded.has(source) && !folded.has(target)) joined.set(call.id, call);
    else if (source !== target) {
      const id = `${source} to ${target}`;
      joined.set(id, joined.has(id) ? added(joined.get(id), call) : { ...call, id, source, target, folded: 1 });
    }
  }
  return [...joined.values()];
}

function added(sum, call) {
  const rates = Object.fromEntries(Object.entries(sum.rates).map(([name, value]) => [name, value === null && call.rates[name] === null ? null : (value ?? 0) + (call.rates[name] ?? 0)]));
  const protocols = [...new Set([...sum.protocols, ...call.protocols])];
  return { ...sum, rates, protocols, connects_failed: (sum.connects_failed ?? 0) + (call.connects_failed ?? 0), folded: sum.folded + 1 };
}

/** The arrows that are drawn: those of the selected service first, then those with most bytes. */
function most(calls, selected, stands) {
  const rank = ({ source, target }) => (source === selected || target === selected ? 1 : 0);
  const ranked = calls.toSorted((one, other) => rank(other) - rank(one) || volume(other) - volume(one));
  const between = ({ source, target }) => !stands.has(source) && !stands.has(target);
  return [...ranked.filter((call) => !between(call)).slice(0, CALLS.own), ...ranked.filter(between).slice(0, CALLS.between)];
}
