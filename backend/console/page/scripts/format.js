// Numbers as people read them. Every function takes null for "no data", which is shown as a dash and never as zero.

export const NOTHING = "–";

const BYTES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const DURATIONS = [
  [1, "ns"],
  [1e3, "µs"],
  [1e6, "ms"],
  [1e9, "s"],
];

/** Three digits at most: 0.05, 0.8, 12.3, 456. */
function short(value) {
  const size = Math.abs(value);
  const digits = size >= 99.95 || Number.isInteger(value) ? 0 : size >= 9.995 ? 1 : size >= 0.995 ? 1 : 2;
  return value.toFixed(digits).replace(/\.0$/, "");
}

/** A whole number with separators: 1,234,567. */
export function count(value) {
  return value === null ? NOTHING : Math.round(value).toLocaleString("en");
}

/** A number of things per time: 0.05, 12.3, 4,560, 1.2 M, 5 G. */
export function rate(value) {
  if (value === null) return NOTHING;
  if (value >= 999_500_000) return `${short(value / 1e9)} G`;
  if (value >= 999_950) return `${short(value / 1e6)} M`;
  return value >= 99.95 ? count(value) : short(value);
}

/** Bytes: 512 B, 1.5 KiB. */
export function bytes(value) {
  if (value === null) return NOTHING;
  let unit = 0;
  while (value >= 1023.5 && unit < BYTES.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit ? short(value) : rate(value)} ${BYTES[unit]}`;
}

/** Bytes per second. */
export function bytesPerSecond(value) {
  return value === null ? NOTHING : `${bytes(value)}/s`;
}

/** A share from 0 to 1: 100 %, 99.95 %. What is less than all is never shown as 100 %. */
export function share(value) {
  if (value === null) return NOTHING;
  const hundredths = value === 1 ? 10_000 : Math.min(Math.round(value * 10_000), 9_999);
  return `${hundredths % 100 ? (hundredths / 100).toFixed(2) : hundredths / 100} %`;
}

/** Nanoseconds: 850 ns, 12.3 µs, 4.5 ms, 1.2 s. */
export function duration(value) {
  if (value === null) return NOTHING;
  const [size, unit] = DURATIONS.findLast(([least]) => value >= least * 0.9995) ?? DURATIONS[0];
  return `${short(value / size)} ${unit}`;
}

/** A number of anything: 0.05, 12.3, 4,560, 1.2 M; negative ones too. */
export const plain = (value) => (value === null ? NOTHING : value < 0 ? `-${rate(-value)}` : rate(value));

const BY_UNIT = {
  number: plain,
  "per minute": (value) => (value === null ? NOTHING : `${plain(value)}/min`),
  "per second": (value) => (value === null ? NOTHING : `${plain(value)}/s`),
  bytes,
  "bytes per second": bytesPerSecond,
  ns: duration,
  ms: (value) => (value === null ? NOTHING : value === 0 ? "0 ms" : duration(value * 1e6)),
  "%": (value) => share(value === null ? null : value / 100),
};

/** How values of a unit are written; of one that we do not know, with its name. */
export const formatOf = (unit) => BY_UNIT[unit] ?? ((value) => (value === null ? NOTHING : `${plain(value)} ${unit}`));

/** Numbers from 0 to more than `largest` for an axis, round in the unit that `largest` is shown in. */
export function ticks(largest, format) {
  const most = largest * 1.04; // a line along the edge is hard to see
  let unit = 1;
  if (format === bytesPerSecond || format === bytes) while (most / unit >= 1024) unit *= 1024;
  const rough = (most || 1) / unit / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) * power * unit;
  return { step, most: Math.max(1, Math.ceil(most / step - 1e-9)) * step };
}

/** A moment with its day, in the visitor's language and zone, as times on charts are: 27 Nov 2026, 14:05. */
export function moment(date) {
  return date.toLocaleString([], { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

/** The time of day of a date, in the visitor's zone: 14:05. */
export function timeOfDay(date) {
  return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}
