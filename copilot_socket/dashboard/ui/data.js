// @ts-check
/** Reading from the API: what was read stays while it is read again, and a temporary failure is tried again. */

import { useCallback, useEffect, useRef, useState } from "/dashboard/vendor/hooks.js";
import { ApiError } from "/client.js";
import { session } from "./api.js";
import { useEvents } from "./live.js";

/** @import { LiveEvent, Options } from "../../web/types.d.ts" */

/** Milliseconds before a read that has failed is repeated. */
const AGAIN = 5_000;
/** Milliseconds from an event until what it changes is read again, at least; events of that time are read together. An answer
 * that somebody else got a second ago will do: it shows what the event has changed. */
const CALM = 1_100;

/**
 * @template T
 * @typedef {object} Read
 * @property {T | undefined} data
 * @property {unknown} error Of the last read; null: it worked.
 * @property {boolean} loading
 * @property {() => void} reload
 * @property {() => void} reloadSoon After an event: at most once a second.
 * @property {(change: (data: T) => T) => void} patch Changes what was read, and what a read that is under way comes to.
 */

/**
 * What *load* returns; read again when *key* changes, and at events. What is read again by itself may be what another viewer was
 * answered, so that many viewers cost no more than one.
 *
 * @template T
 * @param {string | null} key What is read: another key is another thing. null: nothing.
 * @param {(options: Options & { signal: AbortSignal }) => Promise<T>} load
 * @param {{ on?: LiveEvent["type"][], every?: number }} [options] The events at which it is read again, at most once a
 *   second; milliseconds after which it is read again in any case.
 * @returns {Read<T>}
 */
export function useData(key, load, { on = [], every } = {}) {
  const [state, setState] = useState(/** @type {{ key: string | null, data?: T, error: unknown, loading: boolean }} */ ({ key, error: null, loading: key !== null }));
  const [turn, setTurn] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  // How old the answer to the next read may be, in seconds.
  const age = useRef(0);
  const again = useCallback((/** @type {number} */ maxAge) => {
    age.current = maxAge;
    setTurn((number) => number + 1);
  }, []);
  const reload = useCallback(() => again(0), []);
  // Changes by events since the read that is under way began: its answer may be older than these.
  const changes = useRef(/** @type {((data: T) => T)[] | null} */ (null));

  useEffect(() => {
    if (key === null) return undefined;
    const aborting = new AbortController();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const maxAge = age.current;
    age.current = 0;
    changes.current = [];
    // Nobody sees a page that is hidden: it is read again as soon as it is seen.
    const due = () => {
      if (document.hidden) document.addEventListener("visibilitychange", due, { once: true, signal: aborting.signal });
      else again(Math.floor((every ?? 0) / 1000));
    };
    const later = () => void (timer = setTimeout(due, every));
    setState((before) => ({ key, data: before.key === key ? before.data : undefined, error: before.key === key ? before.error : null, loading: true }));
    void (async () => {
      try {
        /** @type {T} */
        const read = await latest.current({ signal: aborting.signal, maxAge });
        if (aborting.signal.aborted) return;
        const data = (changes.current ?? []).reduce((before, change) => change(before), read);
        changes.current = null;
        setState({ key, data, error: null, loading: false });
        if (every) later();
      } catch (error) {
        if (aborting.signal.aborted) return;
        setState((before) => ({ ...before, error, loading: false }));
        const final = error instanceof ApiError && error.status < 500 && error.status !== 429;
        if (!final && session.value) timer = setTimeout(reload, AGAIN);
      }
    })();
    return () => {
      clearTimeout(timer);
      aborting.abort();
    };
  }, [key, turn]);

  const calm = useRef(/** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined));
  useEffect(() => () => clearTimeout(calm.current), []);
  const reloadSoon = useCallback(() => {
    calm.current ??= setTimeout(() => {
      calm.current = undefined;
      again(1);
    }, CALM * (1 + Math.random() / 2)); // not all viewers at once
  }, []);
  useEvents((event) => {
    const matters = event ? on.includes(event.type) : on.length > 0; // what is missing may have been one of them
    if (matters) reloadSoon();
  });

  const patch = useCallback(
    (/** @type {(data: T) => T} */ change) => {
      changes.current?.push(change);
      setState((before) => {
        const data = before.data === undefined ? undefined : change(before.data);
        return data === before.data ? before : { ...before, data };
      });
    },
    [],
  );
  const current = state.key === key;
  return {
    data: current ? state.data : undefined,
    error: current ? state.error : null,
    loading: current ? state.loading : key !== null,
    reload,
    reloadSoon,
    patch,
  };
}
