import assert from "node:assert/strict";
import { test } from "node:test";
import { ACTIONS, STATES, actionsFor, afterEvent, share, subject } from "../../copilot_socket/dashboard/core/jobs.js";

const JOB = { id: "1", status: "queued", cause: null, error: "f00", progress: { processed: 1, total: 4 }, updated_at: "2026-01-01T00:00:00Z", started_at: null, finished_at: null };
const AT = "2026-01-01T00:01:00Z";

/** @param {object} event */
const after = (event) => afterEvent(/** @type {any} */ (JOB), { id: "1", timestamp: AT, .../** @type {any} */ (event) });

test("every state allows something, and each action some state", () => {
  for (const state of STATES) assert.notEqual(actionsFor([state]).length, 0, state);
  assert.deepEqual(actionsFor(["queued"]).map(({ action }) => action), ["pause", "cancel"]);
  assert.deepEqual(actionsFor(["failed", "completed"]).map(({ action }) => action), ["retry", "delete"]);
  assert.deepEqual(ACTIONS.filter(({ asks }) => asks).map(({ action }) => action), ["recover", "cancel", "delete"]);
});

test("an event changes the state and its times", () => {
  assert.deepEqual(after({ event: "claim", status: "assigned" }), { ...JOB, updated_at: AT, status: "assigned" });
  assert.deepEqual(after({ event: "job_started", status: "running" }), { ...JOB, updated_at: AT, status: "running", started_at: AT });
  assert.deepEqual(after({ event: "job_failed", status: "failed", cause: "job_error", error: "b0b" }), { ...JOB, updated_at: AT, status: "failed", cause: "job_error", error: "b0b", finished_at: AT });
  assert.deepEqual(after({ event: "job_completed", status: "completed", cause: "completed" }), { ...JOB, updated_at: AT, status: "completed", cause: "completed", error: null, finished_at: AT });
  assert.deepEqual(after({ event: "job_failed", status: "queued", failures: 2 }), { ...JOB, updated_at: AT, failures: 2 });
  assert.equal(after({ event: "deleted" }), null);
});

test("progress is merged, and changes no state", () => {
  assert.deepEqual(after({ event: "job_progress", progress: { processed: 2 } }), { ...JOB, updated_at: AT, progress: { processed: 2, total: 4 } });
  assert.deepEqual([share({ processed: 1, total: 4 }), share({ processed: 9, total: 4 }), share({ processed: 1 }), share({ processed: 1, total: 0 }), share(null)], [0.25, 1, null, null, null]);
});

test("a job is named by what it is about", () => {
  const names = [{ command: "users", full_path: null }, { command: "issues", full_path: "acme/shop" }, { command: "commits", full_path: "acme/shop", branch: "main" }].map(subject);
  assert.deepEqual(names, ["users", "issues of acme/shop", "commits of acme/shop (main)"]);
});
