import assert from "node:assert/strict";
import { test } from "node:test";
import { originOf, renewalDue, shortUrl } from "../../copilot_socket/dashboard/core/accounts.js";

const NOW = Date.parse("2026-01-05T10:00:00Z");

/** @param {object} account */
const due = (account) => renewalDue({ credential_status: "valid", has_refresh_token: false, token_expires_at: null, ...account }, NOW);

test("a person renews what GitLab refuses, and what nothing else renews", () => {
  assert.equal(due({}), null);
  assert.equal(due({ credential_status: "expired", has_refresh_token: true }), "now");
  assert.equal(due({ token_expires_at: "2026-01-05T09:00:00Z" }), "now");
  assert.equal(due({ token_expires_at: "2026-01-12T09:00:00Z" }), "soon");
  assert.equal(due({ token_expires_at: "2026-01-12T11:00:00Z" }), null);
  assert.equal(due({ token_expires_at: "2026-01-05T09:00:00Z", has_refresh_token: true }), null);
});

test("a GitLab by its origin, and in short", () => {
  assert.equal(originOf("https://gitlab.example.org:443/git/"), "https://gitlab.example.org");
  assert.equal(originOf("http://h:80"), "http://h");
  assert.equal(originOf("nonsense"), "nonsense");
  assert.equal(shortUrl("https://gitlab.example.org/"), "gitlab.example.org");
  assert.equal(shortUrl("http://h:8080"), "http://h:8080");
});
