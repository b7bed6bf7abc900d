// @ts-check
/** Where the reader is, and going elsewhere without loading the page anew. */

import { Store, useStore } from "./store.js";

/** @import { Place } from "../core/addresses.js" */
import { address, changed, match } from "../core/addresses.js";

/** The patterns of pages' paths. @type {string[]} */
let patterns = [];

/** Whether the node has another version than the page: its modules would not fit together. */
const outdated = { value: false };

/** From now on, go elsewhere by loading the page anew. */
export function loadAnew() {
  outdated.value = true;
}

/** @type {Store<Place>} */
const place = new Store({ path: "/", params: {}, query: new URLSearchParams() });

/** Whether the reader has gone from one page to another since this one was loaded. */
export function hasMoved() {
  return place.value.path !== began;
}

/** The path at which the page was loaded, until the reader leaves it. @type {string | null} */
let began = null;

/** The pattern of the page at *path*; null if there is none. @param {string} path */
export function patternOf(path) {
  return patterns.find((each) => match(each, path)) ?? null;
}

function look() {
  const { pathname: path, search } = location;
  const pattern = patternOf(path);
  // Of a parameter that is given twice, the last one counts, for all who read it.
  const query = new URLSearchParams(Object.fromEntries(new URLSearchParams(search)));
  if (path !== began) began = began === null ? path : "";
  place.set({ path, params: (pattern ? match(pattern, path) : null) ?? {}, query });
}

/** @param {string[]} known The patterns of pages' paths. */
export function startRouter(known) {
  patterns = known;
  addEventListener("popstate", look);
  document.addEventListener("click", followLink);
  look();
}

/** @param {string} to Path and query. @param {{ replace?: boolean }} [options] Replace the present entry of the history. */
export function go(to, { replace = false } = {}) {
  if (outdated.value) return location.assign(to);
  if (replace) history.replaceState(null, "", to);
  else if (to !== location.pathname + location.search) history.pushState(null, "", to);
  look();
}

/** Change the query of the present address. @param {Record<string, string | number | boolean | null | undefined>} changes
 * @param {{ replace?: boolean }} [options] */
export function change(changes, options) {
  const { path, query } = place.value;
  go(address(path, "cursor" in changes ? withCursor(query, changes) : changed(query, changes)), options);
}

/** @param {URLSearchParams} query @param {Record<string, any>} changes */
function withCursor(query, changes) {
  const next = changed(query, changes);
  if (changes.cursor) next.set("cursor", changes.cursor);
  return next;
}

export function usePlace() {
  return useStore(place);
}

/** @param {MouseEvent} event */
function followLink(event) {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  if (!patternOf(link.pathname) || (link.hash && link.pathname === location.pathname)) return;
  event.preventDefault();
  go(link.pathname + link.search);
}
