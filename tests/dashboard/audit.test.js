import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { AUDITED, targetAt } from "../../copilot_socket/dashboard/core/audit.js";

/** @param {string} action @param {object} [others] */
const at = (action, others) => targetAt({ action, target: "a/b", details: null, outcome: "done", ...others });

test("targets lead to where they are", () => {
  assert.equal(at("job.cancel"), "/jobs/a%2Fb");
  assert.equal(at("job.submit"), "/accounts/a%2Fb");
  assert.equal(at("operation.end"), "/operations/a%2Fb");
  assert.equal(at("crawler.drain"), "/crawlers/a%2Fb");
  assert.equal(at("error.retry"), "/errors/a%2Fb");
  assert.equal(at("host.change"), "/pauses");
  assert.equal(at("token.add"), "/tokens");
  assert.equal(at("pause.add", { details: { scope: "account" } }), "/accounts/a%2Fb");
  assert.equal(at("pause.end", { details: { scope: "path_prefix" } }), "/jobs?path_prefix=a/b");
  assert.equal(at("pause.add", { details: { scope: "command" }, target: "issues" }), "/jobs?command=issues");
  assert.equal(at("pause.add", { details: { scope: "host" }, target: "https://h" }), "/accounts?gitlab_origin=https://h");
  assert.equal(at("pause.add", { details: { scope: "everything" }, target: null }), null);
});

test("what is gone, refused, or has no page leads nowhere", () => {
  for (const action of ["job.delete", "account.delete", "token.revoke", "webhook.remove", "keys.rotate", "cleanup"]) assert.equal(at(action), null, action);
  assert.equal(at("job.cancel", { target: null }), null);
  assert.equal(at("job.cancel", { outcome: "refused" }), null);
});

test("the actions are those of the documentation", () => {
  const text = readFileSync(new URL("../../docs/http.md", import.meta.url), "utf-8");
  const [, table] = text.split("| action | target | details |");
  const rows = table.split("\n\n")[0].split("\n").map((row) => row.split("|")[1] ?? "");
  const documented = rows.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name));
  assert.deepEqual([...AUDITED].sort(), documented.sort());
});
