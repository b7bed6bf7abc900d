import assert from "node:assert/strict";
import { test } from "node:test";
import { actionOf, filterOf, jobsOf } from "../../copilot_socket/dashboard/core/operations.js";

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
