// @ts-check
/** Crawlers: whether they are given work, and asking them to exit. */

import { client } from "./api.js";

/** @import { Crawler } from "../../web/types.d.ts" */
/** @import { Act } from "./acts.js" */

/** @param {string} id @param {() => void} [after] @returns {Act} */
export function releaseAct(id, after) {
  return {
    verb: "Release", title: `Release ${id}`, effect: "The crawler is given work again", needs: "operate",
    run: () => client.crawlers.release(id), done: `${id} is given work again`, action: "crawler.release", target: id, after,
  };
}

/** @param {string} id @param {() => void} [after] @returns {Act} */
export function quarantineAct(id, after) {
  return {
    verb: "Quarantine", title: `Quarantine ${id}`, effect: "The crawler is given no more work, as it fails what others do", needs: "operate",
    run: () => client.crawlers.quarantine(id), done: `${id} is quarantined`, action: "crawler.quarantine", target: id, after,
  };
}

/**
 * What can be done to a crawler.
 *
 * @param {Pick<Crawler, "id" | "mode" | "connected">} crawler
 * @param {() => void} after
 * @returns {Act[]}
 */
export function crawlerActs({ id, mode, connected }, after) {
  /** @type {Act[]} */
  const acts = [];
  if (mode !== "serving") acts.push(releaseAct(id, after));
  if (mode === "serving") {
    acts.push({
      verb: "Drain", title: `Drain ${id}`, effect: "The crawler finishes what it holds and is given no more work", needs: "operate",
      run: () => client.crawlers.drain(id), done: `${id} is given no more work`, action: "crawler.drain", target: id, after,
    });
  }
  if (mode !== "quarantined") acts.push(quarantineAct(id, after));
  if (connected) {
    acts.push({
      verb: "Shut down", title: `Shut down ${id}`, effect: "The crawler is asked to exit. Whether it starts again is up to whoever runs it. This can't be undone.", needs: "operate",
      asks: true, run: () => client.crawlers.shutdown(id), done: `${id} was asked to exit`, action: "crawler.shutdown", target: id, after,
    });
  }
  return acts;
}
