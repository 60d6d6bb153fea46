// What the map tells of HTTP: rate, time and success of services, and rate and time of calls between them.

import { serviceOf } from "./entities.js";
import { volume } from "./folding.js";
import { expressions, numberOf, spanOf } from "./graphql.js";

const SERVICES = 1_000; // that are ranked at once
const CALLS = 100; // of which times are asked for, those of the selected service first, then those with most bytes
const SERVICE = "kubernetes_service_http_call_";
const RELATION = "kubernetes_service_relation_";

/** Below which share of calls that succeed a service is failing, and below which it has trouble. */
export const FAILING = 0.95;
export const TROUBLED = 0.99;

/** {services, calls} by id: {rate, time, success} per minute, in ns and from 0 to 1, each null when there was no HTTP. */
export async function askMeasures({ calls }, selected, range, signal) {
  const lists = ["cpm", "time", "successful_rate"].map((name) => ({ expression: `top_n(${SERVICE}${name}, ${SERVICES}, des)`, entity: {} }));
  const own = ({ source, target }) => source === selected || target === selected;
  const measured = calls.toSorted((one, other) => own(other) - own(one) || volume(other) - volume(one)).slice(0, CALLS);
  const asked = measured.flatMap(({ source, target }) => {
    const [from, to] = [serviceOf(source), serviceOf(target)];
    const entity = { serviceName: from.name, normal: from.normal, destServiceName: to.name, destNormal: to.normal };
    return ["call_cpm", "call_time"].map((name) => ({ expression: either(name), entity }));
  });
  const span = await spanOf(range, signal);
  const answers = await expressions([...lists, ...asked], span, signal);
  const [rates, times, successes] = answers.slice(0, 3).map(ranked);
  const services = new Map([...rates].map(([id, rate]) => [id, { rate, time: nanoseconds(times.get(id)), success: part(successes.get(id)) }]));
  const found = measured.map(({ id }, index) => {
    const [rate, time] = answers.slice(3 + index * 2, 5 + index * 2).map(numberOf);
    return [id, { rate, time: nanoseconds(time) }];
  });
  return { services, calls: new Map(found) };
}

/** What the caller reports, or else what the called does; the two are never added. */
const either = (name) => `view_as_seq(avg(${RELATION}client_http_${name}), avg(${RELATION}server_http_${name}))`;

const ranked = ({ results }) => new Map((results[0]?.values ?? []).map(({ value, owner }) => [owner.serviceID, Number(value)]));

const nanoseconds = (milliseconds) => (milliseconds === null || milliseconds === undefined ? null : milliseconds * 1e6);

const part = (tenThousandths) => (tenThousandths === undefined ? null : tenThousandths / 10_000);
