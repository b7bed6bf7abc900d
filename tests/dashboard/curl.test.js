import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { curl, quoted } from "../../copilot_socket/dashboard/core/curl.js";

test("a shell reads back what is quoted", () => {
  for (const text of ["plain", "it's $HOME `id` \"x\" \\ \n end", "'"]) {
    assert.equal(execFileSync("sh", ["-c", `printf %s ${quoted(text)}`], { encoding: "utf8" }), text);
  }
});

test("a command has the request, and no token", () => {
  assert.equal(curl("GET", "http://127.0.0.1:3000/api/v1/jobs/1"), `curl -sS --fail-with-body -H "Authorization: Bearer $COPILOT_HTTP_TOKEN" 'http://127.0.0.1:3000/api/v1/jobs/1'`);
  assert.equal(curl("POST", "http://n/x", { a: 1 }), `curl -sS --fail-with-body -X POST -H "Authorization: Bearer $COPILOT_HTTP_TOKEN" -H 'Content-Type: application/json' -d '{"a":1}' 'http://n/x'`);
});
