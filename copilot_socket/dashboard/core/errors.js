// @ts-check
/** Groups of errors over time (docs/http.md, "Errors"). Pure. */

/** @import { ErrorCount, ErrorGroup } from "../../web/types.d.ts" */

/** @type {ErrorGroup["status"][]} */
export const GROUP_STATES = ["open", "regressed", "retried", "ignored"];

/** Value of the address, label, seconds. @type {[value: string, label: string, seconds: number][]} */
export const PERIODS = [["hour", "the last hour", 3600], ["day", "the last day", 86_400], ["week", "the last week", 7 * 86_400]];

/** The first time of a period; undefined for all of it. @param {string | null | undefined} period @param {number} now Milliseconds since 1970. */
export function sinceOf(period, now) {
  const seconds = PERIODS.find(([value]) => value === period)?.[2];
  // To a minute: who looks at the same period asks the same.
  return seconds === undefined ? undefined : new Date(Math.floor(now / 60_000) * 60_000 - seconds * 1000).toISOString();
}

/** Hours or days that are drawn at least, so that a group that is new does not look like one that is old. */
const LEAST = 24;

/**
 * A history as columns, with zeros in between: the server leaves out hours and days without errors.
 *
 * @param {ErrorCount[]} history
 * @param {"hour" | "day"} unit
 * @param {number} now Milliseconds since 1970.
 * @param {string} [since] The first time of what was counted; before it nothing is known, which is no zero.
 * @param {number} [most] Intervals, of which the last are kept.
 */
export function filled(history, unit, now, since, most = 1_000) {
  const step = unit === "hour" ? 3600 : 86_400;
  const counts = new Map(history.map(({ start, errors }) => [Math.floor(Date.parse(start) / 1000 / step), errors]));
  const last = Math.max(Math.floor(now / 1000 / step), ...counts.keys());
  const earliest = since === undefined ? Math.min(last - LEAST + 1, ...counts.keys()) : Math.floor(Date.parse(since) / 1000 / step);
  const first = Math.max(last - most + 1, earliest);
  const at = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  return { times: at.map((each) => each * step), values: at.map((each) => counts.get(each) ?? 0) };
}
