// @ts-check
/** Addresses of the dashboard's pages: the state of a page is its path and query. Pure. */

/** @typedef {{ path: string, params: Record<string, string>, query: URLSearchParams }} Place Where the reader is. */

/**
 * The values of `{name}` parts of *pattern* in *path*; null if it is another page's.
 *
 * @param {string} pattern As `/jobs/{id}`.
 * @param {string} path
 * @returns {Record<string, string> | null}
 */
export function match(pattern, path) {
  const wanted = pattern.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) return null;
  /** @type {Record<string, string>} */
  const params = {};
  for (const [at, part] of wanted.entries()) {
    const value = given[at];
    if (part.startsWith("{")) {
      try {
        params[part.slice(1, -1)] = decodeURIComponent(value);
      } catch {
        return null; // a stray "%"
      }
      if (value === "") return null;
    } else if (part !== value) return null;
  }
  return params;
}

/**
 * An address with a query; what is empty is left out.
 *
 * @param {string} path
 * @param {Record<string, string | number | boolean | null | undefined> | URLSearchParams} [query]
 */
export function address(path, query = {}) {
  const given = query instanceof URLSearchParams ? [...query] : Object.entries(query);
  const kept = given.filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(kept.map(([name, value]) => [name, String(value)])).toString();
  // These need no escape in a query, and addresses are to be read.
  return text ? `${path}?${text.replaceAll("%2C", ",").replaceAll("%2F", "/").replaceAll("%3A", ":")}` : path;
}

/** The path of a page of one thing. @param {string} list As `/jobs`. @param {string} id */
export function pathOf(list, id) {
  return `${list}/${encodeURIComponent(id)}`;
}

/** The parameters *names* of a query that are not empty. @param {URLSearchParams} query @param {string[]} names @returns {Record<string, string>} */
export function picked(query, names) {
  return Object.fromEntries([...query].filter(([name, value]) => value !== "" && names.includes(name)));
}

/** The list of the jobs that meet a filter. @param {Record<string, string | null | undefined>} filter */
export function jobsAt(filter) {
  return address("/jobs", filter);
}

/**
 * *query* with *changes*; null and "" remove. Whatever else is changed, the list begins at its first page again.
 *
 * @param {URLSearchParams} query
 * @param {Record<string, string | number | boolean | null | undefined>} changes
 */
export function changed(query, changes) {
  const next = new URLSearchParams(query);
  next.delete("cursor");
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") next.delete(name);
    else next.set(name, String(value));
  }
  return next;
}
