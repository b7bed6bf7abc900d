// @ts-check
/** A value that components read, and are drawn again when it changes. */

import { useEffect, useState } from "/dashboard/vendor/hooks.js";

/** @template T */
export class Store {
  /** @type {Set<() => void>} */
  #readers = new Set();

  /** @param {T} value */
  constructor(value) {
    this.value = value;
  }

  /** @param {T} value */
  set(value) {
    if (Object.is(value, this.value)) return;
    this.value = value;
    for (const reader of [...this.#readers]) reader();
  }

  /** @param {() => void} reader Called after each change. @returns {() => void} Ends that. */
  watch(reader) {
    this.#readers.add(reader);
    return () => void this.#readers.delete(reader);
  }
}

/**
 * The store's value, or what *select* makes of it.
 *
 * @template T
 * @template [R=T]
 * @param {Store<T>} store
 * @param {(value: T) => R} [select] Returns the same object while nothing that matters has changed.
 * @returns {R}
 */
export function useStore(store, select = (value) => /** @type {any} */ (value)) {
  const [, draw] = useState(0);
  const selected = select(store.value);
  useEffect(() => {
    let last = selected;
    const look = () => {
      const next = select(store.value);
      if (Object.is(next, last)) return;
      last = next;
      draw((count) => count + 1);
    };
    look(); // it may have changed since this was drawn
    return store.watch(look);
  }, [store]);
  return selected;
}

/**
 * A setting of this browser.
 *
 * @template {string} T
 * @extends {Store<T>}
 */
export class Setting extends Store {
  #name;

  /** @param {string} name @param {T} standard */
  constructor(name, standard) {
    super(/** @type {T} */ (read(name) ?? standard));
    this.#name = name;
  }

  /** @override @param {T} value */
  set(value) {
    keep(this.#name, value);
    super.set(value);
  }
}

/** What this browser keeps under *name*; null for nothing. @param {string} name */
export function read(name) {
  try {
    return localStorage.getItem(`copilot-socket.${name}`);
  } catch {
    return null; // storage is switched off
  }
}

/** @param {string} name @param {string} value */
export function keep(name, value) {
  try {
    localStorage.setItem(`copilot-socket.${name}`, value);
  } catch {
    // Then it holds until the page is closed.
  }
}
