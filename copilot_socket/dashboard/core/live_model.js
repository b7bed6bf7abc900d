// @ts-check
/** The state of things as live events tell it (docs/http.md, "Live events"): a snapshot, then what changes it. Pure. */

/** @import { LiveEvent, Overview, QueueStats } from "../../web/types.d.ts" */

/**
 * @typedef {object} LiveModel
 * @property {Record<string, number> | null} counts Jobs by state; null before the first snapshot.
 * @property {QueueStats | null} queue
 * @property {Overview | null} overview
 */

/** @type {LiveModel} */
export const NOTHING = { counts: null, queue: null, overview: null };

/**
 * The model after an event; the same one if that does not concern it.
 *
 * @param {LiveModel} model
 * @param {LiveEvent} event
 * @returns {LiveModel}
 */
export function applied(model, { type, data }) {
  if (type === "snapshot") {
    return { counts: data.counts, queue: data.queue ?? null, overview: data.overview ?? null };
  }
  if (type === "counts") return { ...model, counts: data.counts, queue: data.queue ?? model.queue };
  if (type === "overview") return { ...model, overview: data };
  return model;
}
