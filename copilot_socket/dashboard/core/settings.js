// @ts-check
/** The settings of a node, in groups and in words. Pure. */

/** @import { ShownSetting } from "../../web/types.d.ts" */

import { bytes, count } from "./numbers.js";
import { duration } from "./times.js";

/** Groups, each with what names of its settings look like; the first one that fits counts. @type {[string, RegExp][]} */
const GROUPS = [
  ["Database and cleanup", /DATABASE|QUERY_TIMEOUT|TRANSACTION|CLEANUP|_AGE$/],
  ["Log", /LOG_|^DEBUG$/],
  ["HTTP", /HTTP|ALLOWED_ORIGINS|METRICS/],
  ["GitLab", /^GITLAB_/],
  ["Jobs", /JOB|RETRY|LEASE|RECONNECT_GRACE/],
  ["Crawlers", /^SOCKET_|COPILOT_LISTEN|CRAWLER/],
  ["Node", /./],
];

/** Whether somebody has set it to something else than what it is by itself. @param {ShownSetting} setting */
export function isChanged({ value, default: usual, source }) {
  return source !== "default" && value !== usual;
}

/** The settings by group, in the order of the groups' first ones. @param {ShownSetting[]} settings @returns {[string, ShownSetting[]][]} */
export function grouped(settings) {
  /** @type {Map<string, ShownSetting[]>} */
  const groups = new Map();
  for (const setting of settings) {
    const [name] = /** @type {[string, RegExp]} */ (GROUPS.find(([, pattern]) => pattern.test(setting.name)));
    groups.set(name, [...(groups.get(name) ?? []), setting]);
  }
  return [...groups];
}

/** A value for people: `30 s`, `1 MiB`; null: it says no more than the text itself. @param {string | null} value @param {string | null} unit */
export function readable(value, unit) {
  const number = Number(value);
  if (value === null || value === "" || !Number.isFinite(number)) return null;
  if (unit === "ms") return number === 0 ? null : duration(number / 1000);
  if (unit === "bytes") return bytes(number);
  return number >= 10_000 && unit === null ? count(number) : null;
}
