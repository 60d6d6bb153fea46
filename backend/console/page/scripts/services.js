// The table of services.

import { byId, html, keyed, setText } from "./dom.js";
import { bytesPerSecond, count, rate } from "./format.js";

const COLUMNS = [
  { id: "name", title: "Service", value: ({ name }) => name.toLowerCase() },
  { id: "instances", title: "Instances", value: ({ instances }) => instances, text: count },
  { id: "reads", title: "Reads/min", value: ({ traffic }) => traffic.rates.reads_per_minute, text: rate },
  { id: "writes", title: "Writes/min", value: ({ traffic }) => traffic.rates.writes_per_minute, text: rate },
  { id: "in", title: "In", value: ({ traffic }) => traffic.rates.bytes_read_per_second, text: bytesPerSecond },
  { id: "out", title: "Out", value: ({ traffic }) => traffic.rates.bytes_written_per_second, text: bytesPerSecond },
  { id: "connects", title: "Connects/min", value: ({ traffic }) => traffic.rates.connects_per_minute, text: rate },
  { id: "failures", title: "Failures", value: ({ traffic }) => traffic.totals.connects_failed, text: count },
];
const HINTS = {
  in: "Bytes read, per second",
  out: "Bytes written, per second",
  failures: "Connects that did not succeed, in the whole time range",
};

let order = { column: "out", descending: true };
let search = "";

/** Make the head of the table; `changed` is called when another order was chosen. */
export function prepareServices(changed) {
  for (const { id, title } of COLUMNS) {
    const button = html("button", { type: "button", title: HINTS[id] ?? null }, title);
    button.addEventListener("click", () => {
      order = { column: id, descending: order.column === id ? !order.descending : id !== "name" };
      changed();
    });
    byId("services-head").append(html("th", { scope: "col", class: id === "name" ? null : "number", "data-column": id }, button));
  }
}

/** Let who visits search; `changed` is called when they do. */
export function prepareSearch(changed) {
  byId("search").addEventListener("input", ({ target }) => {
    search = target.value.trim().toLowerCase();
    changed();
  });
}

/** Show the services that are searched for; the selected one is marked. */
export function showServices(all, selected, link) {
  const services = all.filter(({ name }) => name.toLowerCase().includes(search));
  for (const cell of byId("services-head").children) {
    const direction = order.descending ? "descending" : "ascending";
    cell.setAttribute("aria-sort", cell.dataset.column === order.column ? direction : "none");
  }
  keyed(byId("services-body"), sorted(services), ({ id }) => id, createRow, (row, service) => {
    const [name, ...numbers] = row.children;
    const address = name.firstElementChild;
    address.href = link(service.id);
    setText(address, service.name);
    address.title = service.name;
    row.classList.toggle("selected", service.id === selected);
    if (service.id === selected) address.setAttribute("aria-current", "true");
    else address.removeAttribute("aria-current");
    COLUMNS.slice(1).forEach(({ id, value, text }, index) => {
      setText(numbers[index], text(value(service)));
      if (id === "failures") numbers[index].classList.toggle("bad", value(service) > 0);
    });
  });
  if (!services.length) {
    const text = `No service has "${search}" in its name.`;
    byId("services-body").append(html("tr", { class: "blank" }, html("td", { colspan: COLUMNS.length, class: "quiet" }, text)));
  }
  const note = search ? `${count(services.length)} of ${count(all.length)}` : `${count(all.length)} seen`;
  setText(byId("services-note"), note);
}

function createRow() {
  const cells = COLUMNS.slice(1).map(({ title }) => html("td", { class: "number", "data-label": title }));
  return html("tr", {}, html("th", { scope: "row" }, html("a", { class: "row-link" })), ...cells);
}

function sorted(services) {
  const { value } = COLUMNS.find(({ id }) => id === order.column);
  const direction = order.descending ? -1 : 1;
  return services.toSorted((one, other) => {
    const [first, second] = [value(one), value(other)];
    // What has no data comes last, whichever way the rest is ordered.
    if (first === null || second === null) return (first === null) - (second === null) || one.name.localeCompare(other.name);
    return first < second ? -direction : first > second ? direction : one.name.localeCompare(other.name);
  });
}
