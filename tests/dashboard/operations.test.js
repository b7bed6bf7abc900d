import assert from "node:assert/strict";
import { test } from "node:test";
import { actionOf, filterOf, jobsOf, progressOf } from "../../copilot_socket/dashboard/core/operations.js";

test("an operation in words", () => {
  assert.equal(actionOf({ action: "retry" }), "Retry");
  assert.equal(jobsOf({ filter: null, ids: 1 }), "1 chosen job");
  assert.equal(jobsOf({ filter: { status: ["failed", "cancelled"], account_id: "me", search: null }, ids: null }), "State: failed or cancelled, Account: me");
  assert.equal(jobsOf({ filter: {}, ids: null }), "all");
});

test("its filter is one of the list of jobs", () => {
  assert.equal(filterOf({ filter: null }), null);
  assert.deepEqual(filterOf({ filter: { status: ["failed", "cancelled"], spawned: false } }), { status: "failed,cancelled", spawned: "false" });
});

test("how far it is; an estimate that is exceeded is no more said", () => {
  const operation = (/** @type {number} */ changed_total, /** @type {boolean} */ expected_exact, /** @type {any} */ status = "running") =>
    progressOf({ status, expected: 10_001, expected_exact, changed_total, skipped_total: 0 });
  assert.deepEqual(operation(5_000.5, true).share, 0.5);
  assert.equal(operation(7, true).of, "10,001");
  assert.deepEqual(operation(7, false), { changed: "7", of: "more than 10,000", share: 7 / 10_001 });
  assert.deepEqual(operation(12_000, false), { changed: "12,000", of: null, share: undefined });
  assert.deepEqual(operation(20_003, false, "done"), { changed: "20,003", of: null, share: 1 });
});
