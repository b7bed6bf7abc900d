import assert from "node:assert/strict";
import { test } from "node:test";
import { address, changed, match, pathOf, picked } from "../../copilot_socket/dashboard/core/addresses.js";

test("a pattern takes the parts of its path", () => {
  assert.deepEqual(match("/jobs/{id}", "/jobs/01K%2Fx"), { id: "01K/x" });
  assert.deepEqual(match("/jobs", "/jobs"), {});
  for (const path of ["/jobs/", "/jobs/1/2", "/jobs/%", "/errors/1"]) assert.equal(match("/jobs/{id}", path), null, path);
});

test("addresses can be read, and leave out what is empty", () => {
  assert.equal(address("/jobs", { status: "failed,cancelled", path_prefix: "acme/shop", search: "a b&c", limit: null, order: "" }), "/jobs?status=failed,cancelled&path_prefix=acme/shop&search=a+b%26c");
  assert.equal(address("/jobs"), "/jobs");
  const read = new URLSearchParams(address("", { search: "100%, a/b:c&d=e#f" }));
  assert.equal(read.get("search"), "100%, a/b:c&d=e#f");
  assert.equal(pathOf("/accounts", "a/b?c"), "/accounts/a%2Fb%3Fc");
});

test("a change begins at the first page again", () => {
  const query = new URLSearchParams("status=failed&cursor=x&limit=25");
  assert.equal(String(changed(query, { status: null, search: "web" })), "limit=25&search=web");
  assert.equal(String(changed(query, { cursor: "y" })), "status=failed&limit=25&cursor=y");
  assert.equal(String(query), "status=failed&cursor=x&limit=25");
});

test("of a query what is empty or not asked for is left out", () => {
  assert.deepEqual(picked(new URLSearchParams("status=failed&search=&limit=25"), ["status", "search", "cursor"]), { status: "failed" });
});
