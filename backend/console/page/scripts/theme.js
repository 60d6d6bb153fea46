// The colour theme: what the system prefers, unless the visitor chose. Runs before the page is drawn, so that it
// never flashes in the wrong colours; that is why this is no module.
"use strict";
(() => {
  const KEY = "pyrover-theme";
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is forbidden here: the choice lasts as long as the page
    }
  };
  const apply = (theme) => {
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
    const dark = isDark();
    const button = document.getElementById("theme");
    button?.setAttribute("aria-label", dark ? "Use the light theme" : "Use the dark theme");
    button?.classList.toggle("dark", dark);
    document.dispatchEvent(new Event("themechange"));
  };
  const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  apply(chosen());
  system.addEventListener("change", () => apply(null));
  addEventListener("DOMContentLoaded", () => {
    apply(null);
    document.getElementById("theme")?.addEventListener("click", () => {
      const theme = isDark() ? "light" : "dark";
      apply(theme);
      try {
        localStorage.setItem(KEY, theme);
      } catch {
        // see above
      }
    });
  });
})();
