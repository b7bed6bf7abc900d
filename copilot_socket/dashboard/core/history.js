// @ts-check
/** What charts draw of the history (GET /api/v1/stats/history). Pure. */

/** @import { History, HistoryInterval } from "../../web/types.d.ts" */

/** Seconds of an interval. @type {Record<History["resolution"], number>} */
const STEP = { minute: 60, hour: 3600, day: 86_400 };

/**
 * Columns of figures: of an interval in which no node ran they are null, so that lines have a gap there.
 *
 * @param {History} history
 * @param {number} since Seconds since 1970.
 */
export function series({ resolution, history }, since) {
  const step = STEP[resolution];
  const at = history.map((each) => Date.parse(each.at) / 1000);
  /** @type {Map<number, HistoryInterval>} */
  const known = new Map(at.map((time, index) => [Math.floor(time / step), history[index]]));
  const first = Math.max(Math.floor(since / step), Math.min(...known.keys()));
  const last = Math.max(...known.keys());
  /** @type {(HistoryInterval | undefined)[]} */
  const intervals = [];
  for (let each = first; each <= last; each++) intervals.push(known.get(each));
  /** @param {(interval: HistoryInterval) => number | null | undefined} figure */
  const column = (figure) => intervals.map((each) => (each === undefined ? null : figure(each) ?? null));
  return {
    times: intervals.map((_, index) => (first + index) * step),
    created: column(({ created }) => created),
    completed: column(({ completed }) => completed),
    failed: column(({ failed }) => failed),
    queued: column(({ jobs }) => jobs?.queued),
    running: column(({ jobs }) => jobs && jobs.running + jobs.assigned),
    waiting: column(({ jobs }) => jobs && jobs.paused + jobs.waiting_credential),
    dispatchMedian: column(({ dispatch }) => dispatch.p50),
    dispatch95: column(({ dispatch }) => dispatch.p95),
    runMedian: column(({ run }) => run.p50),
    run95: column(({ run }) => run.p95),
  };
}

/**
 * The queue of the history, up to now: an interval's figures are those of its beginning, which may be a day ago.
 *
 * @param {ReturnType<typeof series>} drawn
 * @param {Record<string, number> | null} counts Jobs by state.
 * @param {number} now Seconds since 1970.
 */
export function queueUntil({ times, queued, running, waiting }, counts, now) {
  if (counts === null) return { times, queued, running, waiting };
  return {
    times: [...times, now],
    queued: [...queued, counts.queued],
    running: [...running, counts.running + counts.assigned],
    waiting: [...waiting, counts.paused + counts.waiting_credential],
  };
}
