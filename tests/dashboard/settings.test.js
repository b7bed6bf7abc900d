import assert from "node:assert/strict";
import { test } from "node:test";
import { grouped, isChanged, readable } from "../../copilot_socket/dashboard/core/settings.js";

/** @param {string} name @param {object} [others] @returns {any} */
const setting = (name, others) => ({ name, value: "1", default: "1", source: "default", ...others });

test("changed is what has another value than by default", () => {
  assert.equal(isChanged(setting("A")), false);
  assert.equal(isChanged(setting("A", { source: "environment" })), false);
  assert.equal(isChanged(setting("A", { source: "environment", value: "2" })), true);
});

test("each setting is in one group", () => {
  const names = ["SOCKET_MAX_ERROR_LOG_AGE", "SOCKET_LOG_LEVEL", "SOCKET_JOB_TIMEOUT", "SOCKET_PATH", "COPILOT_HTTP_PORT", "GITLAB_URL", "COPILOT_ENV", "SOCKET_LOG_FILE"];
  assert.deepEqual(grouped(names.map((name) => setting(name))).map(([group, each]) => [group, each.map(({ name }) => name)]), [
    ["Database and cleanup", ["SOCKET_MAX_ERROR_LOG_AGE"]],
    ["Log", ["SOCKET_LOG_LEVEL", "SOCKET_LOG_FILE"]],
    ["Jobs", ["SOCKET_JOB_TIMEOUT"]],
    ["Crawlers", ["SOCKET_PATH"]],
    ["HTTP", ["COPILOT_HTTP_PORT"]],
    ["GitLab", ["GITLAB_URL"]],
    ["Node", ["COPILOT_ENV"]],
  ]);
});

test("values for people", () => {
  assert.deepEqual(
    [readable("30000", "ms"), readable("0", "ms"), readable("1048576", "bytes"), readable("20000", null), readable("20", null), readable("text", null), readable(null, "ms"), readable("", null)],
    ["30 s", null, "1 MiB", "20,000", null, null, null, null],
  );
});
