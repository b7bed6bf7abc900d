// @ts-check
/**
 * Live events. One stream for what every page shows, and at most one more for the page that is open; a page that nobody sees
 * has none, as browsers allow six connections to an origin, for all of its tabs.
 */

import { useEffect, useRef } from "/dashboard/vendor/hooks.js";
import { ApiError } from "/client.js";
import { NOTHING, applied } from "../core/live_model.js";
import { client, isLimited, scope } from "./api.js";
import { Store } from "./store.js";

/** @import { LiveEvent } from "../../web/types.d.ts" */
/** @import { LiveModel } from "../core/live_model.js" */

/** @typedef {{ state: "connecting" | "open" | "closed" | "refused", error: unknown }} Connection */

const TYPES = "snapshot,counts,overview,connection,account,host,pause,budget";
/** Milliseconds for which a page may be hidden before its streams end. */
const HIDDEN = 15_000;

/** @type {Store<LiveModel>} */
export const model = new Store(NOTHING);

/** Of the stream of all pages. @type {Store<Connection>} */
export const connection = new Store(/** @type {Connection} */ ({ state: "connecting", error: null }));

/** An event, or null for those that are missing at this point. @typedef {LiveEvent | null} Told */

/** @type {Set<(event: Told) => void>} */
const listeners = new Set();

/**
 * Call *handle* with the events of a stream while the page is seen; it begins with a snapshot each time.
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
  let hiding;
  // Whether events are missing before the next stream: one that is resumed, behind the last id, is sent what it has missed.
  let late = false;

  const begin = () => {
    const { signal } = (open = new AbortController());
    let resumable = false;
    /** @param {any} state */
    const tell = ({ state, error = null }) => {
      if (signal.aborted) return;
      if (state === "closed") late ||= !resumable;
      if (state !== "lost") onState({ state, error });
      if (state === "lost" || (state === "open" && late)) handle(null);
      if (state === "open") late = false;
    };
    void (async () => {
      try {
        for await (const event of client.events({ ...query, ...scope(), signal, onState: tell })) {
          resumable ||= Boolean(event.id);
          handle(event);
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof ApiError && error.status === 401) await client.session.get().catch(() => {}); // signs out
        onState({ state: "refused", error });
      }
    })();
  };
  const end = () => {
    late ||= open !== null;
    open?.abort();
    open = null;
  };
  const turn = () => {
    clearTimeout(hiding);
    if (document.hidden) hiding = setTimeout(end, HIDDEN);
    else if (!open && !ended) begin();
  };
  document.addEventListener("visibilitychange", turn);
  turn();
  return () => {
    ended = true;
    clearTimeout(hiding);
    document.removeEventListener("visibilitychange", turn);
    end();
  };
}

/** Follow what every page shows. @returns {() => void} Ends that. */
export function startLive() {
  const types = isLimited() ? "snapshot,counts" : TYPES;
  const stop = follow(
    { types },
    (event) => {
      if (event) model.set(applied(model.value, event));
      for (const listener of [...listeners]) listener(event);
    },
    (state) => connection.set(state),
  );
  return () => {
    stop();
    model.set(NOTHING);
    connection.set({ state: "connecting", error: null });
  };
}

/** Call *handle* with the events that every page gets. @param {(event: Told) => void} handle */
export function useEvents(handle) {
  const latest = useRef(handle);
  latest.current = handle;
  useEffect(() => {
    const listener = (/** @type {Told} */ event) => latest.current(event);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
}

/**
 * Call *handle* with the events of a stream of the page's own, many at a time: as often as the page is drawn at most.
 *
 * @param {Record<string, any> | null} query null: none.
 * @param {(events: LiveEvent[]) => void} handle
 * @param {() => void} [again] Reads anew what is shown: events are missing.
 */
export function useStream(query, handle, again = () => {}) {
  const latest = useRef({ handle, again });
  latest.current = { handle, again };
  const key = query && JSON.stringify(query);
  useEffect(() => {
    if (!query) return undefined;
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
    const stop = follow(query, (event) => {
      if (!event) return latest.current.again();
      waiting.push(event);
      timer ??= setTimeout(flush, 100);
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [key]);
}
