import assert from "node:assert/strict";
import { test } from "node:test";
import { queueUntil, series } from "../../copilot_socket/dashboard/core/history.js";

const NONE = { p50: null, p95: null };

/** @param {string} at @param {number} completed @param {object | null} [jobs] */
const interval = (at, completed, jobs = { queued: 5, running: 1, assigned: 2, paused: 0, waiting_credential: 3 }) =>
  ({ at, completed, created: 0, failed: 0, cancelled: 0, jobs, dispatch: { p50: 0.01, p95: 0.2 }, run: NONE });

test("an interval without a record is a gap", () => {
  const history = /** @type {any} */ ({ resolution: "minute", history: [interval("2026-01-01T00:01:00Z", 3), interval("2026-01-01T00:03:00Z", 4, null)] });
  const drawn = series(history, Date.parse("2026-01-01T00:00:00Z") / 1000);
  assert.deepEqual(drawn.times.map((time) => new Date(time * 1000).toISOString().slice(14, 16)), ["01", "02", "03"]);
  assert.deepEqual([drawn.completed, drawn.queued, drawn.running, drawn.waiting], [[3, null, 4], [5, null, null], [3, null, null], [3, null, null]]);
  assert.deepEqual([drawn.dispatchMedian, drawn.runMedian], [[0.01, null, 0.01], [null, null, null]]);
});

test("nothing is drawn of nothing", () => {
  assert.deepEqual(series({ resolution: "day", history: [] }, 0).times, []);
});

test("the queue is drawn up to now", () => {
  const drawn = series(/** @type {any} */ ({ resolution: "day", history: [interval("2026-01-01T00:00:00Z", 3)] }), 0);
  const counts = { queued: 9, running: 1, assigned: 1, paused: 1, waiting_credential: 1 };
  const now = Date.parse("2026-01-01T12:00:00Z") / 1000;
  assert.deepEqual(queueUntil(drawn, counts, now), { times: [drawn.times[0], now], queued: [5, 9], running: [3, 2], waiting: [3, 2] });
  assert.deepEqual(queueUntil(drawn, null, now).queued, [5]);
});
