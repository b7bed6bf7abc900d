// @ts-check
/** Times and durations as text, for a reader in any zone. Pure: `now` is an argument. */

/** @typedef {"relative" | "local" | "utc"} TimeStyle How times are shown: as an age, or as a date in the browser's zone or in UTC. */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** @type {[string, number][]} */
const UNITS = [["d", DAY], ["h", HOUR], ["min", MINUTE], ["s", 1]];

/**
 * The two largest units: `3 d 4 h`, `12 min`, `4.2 s`, `35 ms`, `0 s`.
 *
 * @param {number} seconds
 */
export function duration(seconds) {
  const length = Math.abs(seconds);
  const sign = seconds < 0 ? "−" : "";
  if (length > 0 && length < 0.0005) return "under 1 ms";
  if (length > 0 && length < 0.9995) return `${sign}${Math.round(length * 1000)} ms`;
  if (length < 10) return `${sign}${trimmed(length.toFixed(1))} s`;
  let rest = Math.round(length);
  const parts = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count} ${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return sign + parts.join(" ");
}

/** @param {string} number With a fraction. */
function trimmed(number) {
  return number.replace(/\.0$/, "");
}

/**
 * The age of a time: `just now`, `3 min ago`; of one that is to come the two largest units, as what expires in 1 d 23 h does not in 1 d: `in 2 h 5 min`.
 *
 * @param {string | number | Date} time
 * @param {number} now Milliseconds since 1970.
 */
export function relative(time, now) {
  const seconds = (now - new Date(time).getTime()) / 1000;
  const length = Math.abs(seconds);
  if (length < 2) return "just now";
  if (seconds < 0) return `in ${duration(Math.round(length))}`;
  const [unit, size] = UNITS.find(([, each]) => length >= each) ?? ["s", 1];
  return `${Math.floor(length / size)} ${unit} ago`;
}

/**
 * Since when something has been so, within a sentence: `for 3 min`; at a date, `since` that.
 *
 * @param {string | number | Date} time
 * @param {number} now Milliseconds since 1970.
 * @param {string | null} date The time as the reader wants dates; null: ages.
 */
export function since(time, now, date) {
  return date === null ? `for ${duration(Math.max(0, Math.round((now - new Date(time).getTime()) / 1000)))}` : `since ${date}`;
}

/**
 * Until when something is so, within a sentence: `for another 2 h 5 min`; at a date, `until` that.
 *
 * @param {string | number | Date} time
 * @param {number} now Milliseconds since 1970.
 * @param {string | null} date The time as the reader wants dates; null: ages.
 */
export function until(time, now, date) {
  if (date !== null) return `until ${date}`;
  const seconds = Math.round((new Date(time).getTime() - now) / 1000);
  return seconds < 1 ? "until now" : `for another ${duration(seconds)}`;
}

/**
 * Date and time, with the zone's name: `2026-03-01 14:05:09 GMT+1`.
 *
 * @param {string | number | Date} time
 * @param {string} [timeZone] That of the browser, unless given.
 */
export function absolute(time, timeZone) {
  const parts = Object.fromEntries(formatter(timeZone).formatToParts(new Date(time)).map(({ type, value }) => [type, value]));
  const { year, month, day, hour, minute, second, timeZoneName } = parts;
  return `${year}-${month}-${day} ${hour}:${minute}:${second} ${timeZoneName}`;
}

/** @type {Map<string | undefined, Intl.DateTimeFormat>} */
const FORMATTERS = new Map();

/** @param {string} [timeZone] */
function formatter(timeZone) {
  let known = FORMATTERS.get(timeZone);
  if (known === undefined) {
    known = new Intl.DateTimeFormat("en-GB", {
      year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
      hourCycle: "h23", timeZoneName: "short", ...(timeZone ? { timeZone } : {}),
    });
    FORMATTERS.set(timeZone, known);
  }
  return known;
}

/**
 * A time as `<input type=datetime-local>` has it, in the browser's zone; empty for none.
 *
 * @param {string | null | undefined} time
 */
export function toInput(time) {
  if (!time) return "";
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "";
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19);
}

/**
 * The time of an `<input type=datetime-local>`, for the API; null for none.
 *
 * @param {string} value
 */
export function fromInput(value) {
  if (!value) return null;
  const date = new Date(value);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}
