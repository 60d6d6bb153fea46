// The dashboards that there are: those of files, which the backend checks, and those that were made in the browser.

import { get } from "./api.js";
import { keptDashboards } from "./templates.js";

/** All dashboards: {name, title, scope, origin, tabs} each; origin is program, file or console. */
export async function dashboards(signal) {
  const [{ dashboards: files }, kept] = await Promise.all([get("/console/dashboards", {}, signal), keptDashboards(signal)]);
  return [...files.map(({ own, ...rest }) => ({ ...rest, origin: own ? "file" : "program" })), ...kept];
}
