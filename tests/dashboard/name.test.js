import assert from "node:assert/strict";
import test from "node:test";

import { NAME } from "../../copilot_socket/dashboard/core/name.js";

test("the application has its name", () => {
  assert.equal(NAME, "copilot-socket");
});
