// @ts-check
/** Numbers as text. */

const GROUPED = new Intl.NumberFormat("en-US");

/** `12,345`. @param {number} number */
export function count(number) {
  return GROUPED.format(number);
}

/** Up to this number the server counts. */
const COUNTED = 10_000;

/** A count that may be an estimate, `about 12,000`, or no more than what was counted: `more than 10,000`. @param {number} number @param {boolean} [exact] */
export function total(number, exact = true) {
  return exact ? count(number) : number === COUNTED + 1 ? `more than ${count(COUNTED)}` : `about ${count(number)}`;
}

/** Counts that stop at *most* + 1: `10,000+`. @param {number} number @param {number} [most] */
export function bounded(number, most = COUNTED) {
  return number > most ? `${count(most)}+` : count(number);
}

/** At most four digits: `9,999`, `12.3 k`, `4.5 M`. @param {number} number */
export function compact(number) {
  const size = Math.abs(number);
  if (size < 10_000) return count(Math.round(number * 10) / 10);
  const [divisor, unit] = size < 999_950 ? [1e3, "k"] : size < 999_950_000 ? [1e6, "M"] : [1e9, "G"];
  return `${(number / divisor).toFixed(1).replace(/\.0$/, "")} ${unit}`;
}

/** `1 job`, `2 jobs`. @param {number} number @param {string} one @param {string} [many] @param {boolean} [exact] */
export function counted(number, one, many = `${one}s`, exact = true) {
  return `${total(number, exact)} ${number === 1 ? one : many}`;
}

/** `1.5 MiB`. @param {number} number */
export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let power = 0;
  let rest = number;
  while (Math.abs(rest) >= 1024 && power < units.length - 1) {
    rest /= 1024;
    power += 1;
  }
  return `${power === 0 || rest >= 100 ? Math.round(rest) : rest.toFixed(1).replace(/\.0$/, "")} ${units[power]}`;
}

/** `12 %`, `0.4 %`, without a break between them. @param {number} share From 0 to 1. */
export function percent(share) {
  const number = share * 100;
  return `${number > 0 && number < 10 ? number.toFixed(1).replace(/\.0$/, "") : Math.round(number)}\u00a0%`;
}

/** The sum of the values. @param {Record<string, number>} counts */
export function sum(counts) {
  return Object.values(counts).reduce((all, each) => all + each, 0);
}
