import assert from "node:assert/strict";
import { test } from "node:test";
import { FIELDS, filterIn, fromBody, inWords, mayMatch, toBody } from "../../copilot_socket/dashboard/core/filters.js";

const QUERY = new URLSearchParams("status=failed,cancelled&spawned=false&path_prefix=acme&order=-created_at&limit=25&cursor=x&account_id=");

test("the filter is what of the address names conditions", () => {
  assert.deepEqual(filterIn(QUERY), { status: "failed,cancelled", spawned: "false", path_prefix: "acme" });
});

test("an operation's filter has lists and flags, and comes back", () => {
  const body = toBody(filterIn(QUERY));
  assert.deepEqual(body, { status: ["failed", "cancelled"], spawned: false, path_prefix: "acme" });
  assert.deepEqual(fromBody(body), filterIn(QUERY));
  assert.deepEqual(fromBody(null), {});
});

test("conditions in words", () => {
  assert.deepEqual(inWords(filterIn(QUERY)), ["State: failed or cancelled", "submitted", "Below: acme"]);
});

test("every condition has a label, and is asked for once", () => {
  assert.equal(new Set(FIELDS.map(({ name }) => name)).size, FIELDS.length);
  assert.ok(FIELDS.every(({ kind, choices, flags }) => (kind === "choices" ? choices?.length : true) && (kind === "flag" ? flags?.length === 2 : true)));
});

test("an event of a job that can't match does not count", () => {
  const event = { status: "queued", account_id: "me", command: "issues" };
  assert.ok(mayMatch({}, event));
  assert.ok(mayMatch({ status: "failed,queued", account_id: "me", path_prefix: "acme" }, event));
  assert.ok(!mayMatch({ status: "failed" }, event));
  assert.ok(!mayMatch({ account_id: "ann" }, event));
});
