import assert from "node:assert/strict";
import { test } from "node:test";
import { NOTHING, applied } from "../../copilot_socket/dashboard/core/live_model.js";

const QUEUE = { ready: 1 };
const OVERVIEW = { attention: [] };
const SNAPSHOT = { type: "snapshot", data: { counts: { queued: 1 }, queue: QUEUE, overview: OVERVIEW, crawlers: [] } };

/** @param {any} model @param {any[]} events */
const all = (model, ...events) => events.reduce((before, event) => applied(before, event), model);

test("a snapshot replaces everything", () => {
  const before = all(NOTHING, SNAPSHOT);
  assert.deepEqual(before, { counts: { queued: 1 }, queue: QUEUE, overview: OVERVIEW });
  const limited = all(before, { type: "snapshot", data: { counts: { queued: 2 } } });
  assert.deepEqual(limited, { counts: { queued: 2 }, queue: null, overview: null });
});

test("counts and overview change their part, other events nothing", () => {
  const before = all(NOTHING, SNAPSHOT);
  const after = all(before, { type: "counts", data: { counts: { queued: 0 } } }, { type: "overview", data: { attention: [1] } });
  assert.deepEqual([after.counts, after.queue, after.overview], [{ queued: 0 }, QUEUE, { attention: [1] }]);
  assert.equal(all(before, { type: "job", data: {} }), before);
});
