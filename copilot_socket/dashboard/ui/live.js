// @ts-check
/**
 * Live events. One stream for what every page shows and for what the open page adds to that; a page that wants events of one
 * thing only has one more. A page that nobody sees has none, as browsers allow six connections to an origin, for all of its tabs.
 */

import { useEffect, useRef } from "/dashboard/vendor/hooks.js";
import { ApiError } from "/client.js";
import { NOTHING, applied } from "../core/live_model.js";
import { client, isLimited, scoped } from "./api.js";
import { loadAnew } from "./router.js";
import { Store } from "./store.js";

/** @import { LiveEvent } from "../../web/types.d.ts" */
/** @import { LiveModel } from "../core/live_model.js" */

/** @typedef {{ state: "connecting" | "open" | "closed" | "refused", error: unknown }} Connection */

const TYPES = "snapshot,counts,overview,connection,account,host,pause,budget";
/** Milliseconds for which a page may be hidden before its streams end: a tab that is left makes room for the next. */
const HIDDEN = 2_000;
/** Milliseconds before a stream that was refused is tried again. */
const REFUSED = 15_000;

/** @type {Store<LiveModel>} */
export const model = new Store(NOTHING);

/** Of the stream of all pages. @type {Store<Connection>} */
export const connection = new Store(/** @type {Connection} */ ({ state: "connecting", error: null }));

/** An event, or null for those that may be missing at this point. @typedef {LiveEvent | null} Told */

/** Those who get the events of the stream of all pages, with the types that they add to it. @type {Map<(event: Told) => void, string>} */
const listeners = new Map();
/** Looks whether they want other types now. */
let retype = () => {};

/** Whether the page was left. The browser may keep it for going back: with its streams, and without its timers. */
let left = false;
window.addEventListener("pagehide", () => (left = true));
window.addEventListener("pageshow", () => (left = false));

/** @param {(event: Told) => void} listener @param {string} types @returns {() => void} Ends that. */
function listen(listener, types) {
  listeners.set(listener, types);
  retype();
  return () => {
    listeners.delete(listener);
    retype();
  };
}

/**
 * Call *handle* with the events of a stream while the page is seen. What was read before it is open may have changed by then, and
 * what happens while it is not is missing unless it is resumed: it begins with null then. One with snapshots begins with these,
 * which may come long after it is open.
 *
 * @param {Record<string, any>} query
 * @param {(event: Told) => void} handle
 * @param {(connection: Connection) => void} [onState]
 * @returns {() => void} Ends it.
 */
function follow(query, handle, onState = () => {}) {
  let ended = false;
  /** @type {AbortController | null} */
  let open = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  // Whether it waits before it is tried again.
  let resting = false;
  const snapshots = query.types.split(",").includes("snapshot");

  const begin = () => {
    const { signal } = (open = new AbortController());
    resting = false;
    // One that has had an event goes on behind that.
    let resumable = false;
    // Whether it has had an event since it was opened.
    let heard = false;
    /** @param {any} state */
    const tell = ({ state, error = null }) => {
      if (signal.aborted) return;
      resting = state === "closed";
      // While the database is away a stream opens, too, and tells nothing.
      if (state === "open") heard = false;
      if (state !== "lost") onState({ state: state === "open" ? "connecting" : state, error });
      if (!snapshots && (state === "lost" || (state === "open" && !resumable))) handle(null);
    };
    void (async () => {
      try {
        for await (const event of client.events({ ...scoped(query), signal, onState: tell })) {
          resumable ||= Boolean(event.id);
          if (!heard) onState({ state: "open", error: null });
          heard = true;
          if (event.type === "snapshot") handle(null);
          handle(event);
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof ApiError && error.status === 401) await client.session.get().catch(() => {}); // signs out
        onState({ state: "refused", error });
        resting = true;
        timer = setTimeout(turn, REFUSED);
      }
    })();
  };
  const end = () => {
    open?.abort();
    open = null;
  };
  const turn = () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(end, HIDDEN);
    else if (!ended && !left && (!open || resting)) {
      end();
      begin();
    }
  };
  document.addEventListener("visibilitychange", turn);
  window.addEventListener("pagehide", end);
  window.addEventListener("pageshow", turn);
  window.addEventListener("online", turn);
  turn();
  return () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", turn);
    window.removeEventListener("pagehide", end);
    window.removeEventListener("pageshow", turn);
    window.removeEventListener("online", turn);
    end();
  };
}

/** Follow what every page shows. @returns {() => void} Ends that. */
export function startLive() {
  let types = "";
  let stop = () => {};
  const begin = () => {
    const wanted = [...new Set([isLimited() ? "snapshot,counts" : TYPES, ...listeners.values()].flatMap((each) => each.split(",")))].filter(Boolean).join();
    if (wanted === types) return;
    types = wanted;
    stop();
    stop = follow({ types }, take, (state) => connection.set(state));
  };
  // A page goes and another one comes in the same turn.
  retype = () => queueMicrotask(begin);
  begin();
  return () => {
    retype = () => {};
    stop();
    model.set(NOTHING);
    connection.set({ state: "connecting", error: null });
  };
}

/** The version of the node that the page was loaded from, as far as events say. @type {string | undefined} */
let began;

/** @param {Told} event */
function take(event) {
  if (event) {
    model.set(applied(model.value, event));
    const version = model.value.overview?.version;
    if (version && version !== (began ??= version)) loadAnew();
  }
  for (const listener of [...listeners.keys()]) listener(event);
}

/** Call *handle* with the events that every page gets. @param {(event: Told) => void} handle */
export function useEvents(handle) {
  const latest = useRef(handle);
  latest.current = handle;
  useEffect(() => {
    const listener = (/** @type {Told} */ event) => latest.current(event);
    return listen(listener, "");
  }, []);
}

/**
 * Call *handle* with the events that the page adds to what every page gets, many at a time: ten times a second at most.
 *
 * @param {{ types: string } & Record<string, string | null | undefined>} query Filters need a stream of their own.
 * @param {(events: LiveEvent[]) => void} handle
 * @param {() => void} [again] Reads anew what is shown: events may be missing.
 */
export function useStream(query, handle, again = () => {}) {
  const latest = useRef({ handle, again });
  latest.current = { handle, again };
  const key = JSON.stringify(query);
  useEffect(() => {
    /** @type {LiveEvent[]} */
    let waiting = [];
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const flush = () => {
      const events = waiting;
      waiting = [];
      timer = undefined;
      latest.current.handle(events);
    };
    const listener = (/** @type {Told} */ event) => {
      if (!event) return latest.current.again();
      if (!query.types.split(",").includes(event.type)) return;
      waiting.push(event);
      timer ??= setTimeout(flush, 100);
    };
    const stop = Object.values(query).filter(Boolean).length > 1 ? follow(query, listener) : listen(listener, query.types);
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [key]);
}
