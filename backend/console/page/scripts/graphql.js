// Asks GraphQL: any operation, and expressions over metrics.

import { Refused } from "./api.js";
import { RANGES } from "./address.js";
import { askForToken, authorization } from "./session.js";

const TIMEOUT = 30_000; // ms
const MOST = 200; // expressions in one request; the backend takes 500 questions
const MINUTE = 60_000; // ms

/** Length of a range in minutes, and the step of its buckets. */
export const SPANS = {
  "15m": { minutes: 15, step: "MINUTE" },
  "1h": { minutes: 60, step: "MINUTE" },
  "6h": { minutes: 360, step: "MINUTE" },
  "24h": { minutes: 24 * 60, step: "HOUR" },
  "7d": { minutes: 7 * 24 * 60, step: "HOUR" },
  "30d": { minutes: 30 * 24 * 60, step: "HOUR" }, // of alarms alone: no series has so many buckets
};
/** Length of a bucket in seconds, by step. */
export const SECONDS = { MINUTE: 60, HOUR: 3_600 };

const RESULT = `type error results {
  metric { labels { key value } }
  values { id value owner { scope serviceID serviceName serviceInstanceName endpointName } }
}`;

/** POST an operation; gives its data. Throws Refused, or what fetch throws when nobody answers. */
export async function query(document, variables, signal) {
  const response = await fetch("/graphql", {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json", ...authorization() },
    body: JSON.stringify({ query: document, variables }),
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT)]),
  });
  if (response.status === 401) return askForToken();
  const body = await response.json();
  if (body.errors?.length) throw new Refused({ error: body.errors[0].message, hint: "Reload the page; if that does not help, the backend's log says more" });
  if (!response.ok) throw new Refused({ error: body.error ?? `the status is ${response.status}`, hint: body.hint ?? "The backend's log says more" });
  return body.data;
}

/** The span of a range by the backend's clock, as GraphQL takes it; its last bucket is not over. */
export async function spanOf(range, signal) {
  const { getTimeInfo: info } = await query("{ getTimeInfo { timezone currentTimestamp } }", {}, signal);
  const { minutes, step } = SPANS[range] ?? SPANS[RANGES[0]];
  const [, sign, hours, rest] = /^([+-])(\d\d)(\d\d)$/.exec(info.timezone);
  const zone = (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(rest)) * MINUTE;
  const text = (moment) => {
    const [date, time] = new Date(moment + zone).toISOString().split("T");
    return `${date} ${time.slice(0, 2)}${step === "MINUTE" ? time.slice(3, 5) : ""}`;
  };
  const now = Number(info.currentTimestamp);
  const first = now - minutes * MINUTE + SECONDS[step] * 1_000;
  return { start: text(first), end: text(now), step };
}

/** Answers to expressions, in their order; each is {expression, entity}. */
export async function expressions(asked, duration, signal) {
  const parts = [];
  for (let from = 0; from < asked.length; from += MOST) parts.push(asked.slice(from, from + MOST));
  const answers = await Promise.all(parts.map((part) => askPart(part, duration, signal)));
  return answers.flat();
}

async function askPart(part, duration, signal) {
  const entities = [...new Set(part.map(({ entity }) => entity))];
  const variables = { duration };
  entities.forEach((entity, index) => (variables[`entity${index}`] = entity));
  part.forEach(({ expression }, index) => (variables[`expression${index}`] = expression));
  const declared = [
    "$duration: Duration!",
    ...entities.map((_, index) => `$entity${index}: Entity!`),
    ...part.map((_, index) => `$expression${index}: String!`),
  ];
  const fields = part.map(({ entity }, index) => {
    const given = `expression: $expression${index}, entity: $entity${entities.indexOf(entity)}, duration: $duration`;
    return `answer${index}: execExpression(${given}) { ${RESULT} }`;
  });
  const data = await query(`query (${declared.join(", ")}) { ${fields.join("\n")} }`, variables, signal);
  return part.map((_, index) => data[`answer${index}`]);
}

/** The number that an answer is about, or null. */
export function numberOf(answer) {
  const value = answer.results[0]?.values.findLast(({ value }) => value !== null)?.value;
  return value === undefined ? null : Number(value);
}
