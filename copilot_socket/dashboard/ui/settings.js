// @ts-check
/** How this browser shows the dashboard. */

import { Setting } from "./store.js";

/** @typedef {"system" | "light" | "dark"} Theme */

/** @type {Setting<Theme>} */
export const theme = new Setting("theme", "system");

export function applyTheme() {
  const { value } = theme;
  if (value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
}

theme.watch(applyTheme);
