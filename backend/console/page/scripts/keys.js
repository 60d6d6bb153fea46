// Keys that lead somewhere: / to the search, 1 to 5 to the pages, r and R through the time ranges. Escape closes what is
// open: the details around what has the focus, and what charts tell of the point below the mouse.

import { echarts } from "../vendor/echarts/index.js";
import { RANGES, go, read } from "./address.js";
import { byId } from "./dom.js";

const WRITING = "input:not([type=radio]):not([type=checkbox]), textarea, select";

/** Listen for keys. */
export function prepareKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.(WRITING)) return;
    if (event.key === "/") {
      event.preventDefault();
      if (read().page !== "overview") go({ page: "overview", range: read().range });
      byId("page-overview").hidden = false;
      byId("content").hidden = false;
      byId("search").focus();
    } else if (event.key === "r" || event.key === "R") {
      const place = RANGES.indexOf(read().range) + (event.key === "r" ? 1 : RANGES.length - 1);
      go({ ...read(), range: RANGES[place % RANGES.length] }, { replace: true });
    } else if (event.key === "Escape") {
      close();
    } else {
      byId("menu").querySelectorAll("a")[Number(event.key) - 1]?.click();
    }
  });
}

function close() {
  const details = document.activeElement.closest("details[open]");
  if (details) {
    details.open = false;
    details.querySelector("summary").focus();
  }
  for (const plot of document.querySelectorAll(".plot")) echarts.getInstanceByDom(plot)?.dispatchAction({ type: "hideTip" });
}
