// @ts-check
/** How this browser shows the dashboard. */

import { Setting } from "./store.js";

/** @import { TimeStyle } from "../core/times.js" */

/** How times are shown. @type {Setting<TimeStyle>} */
export const timeStyle = new Setting("times", "relative");

/** @typedef {"system" | "light" | "dark"} Theme */

/** @type {Setting<Theme>} */
export const theme = new Setting("theme", "system");

export function applyTheme() {
  const { value } = theme;
  if (value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
}

theme.watch(applyTheme);
