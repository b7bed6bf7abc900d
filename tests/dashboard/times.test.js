import assert from "node:assert/strict";
import { test } from "node:test";
import { absolute, duration, fromInput, relative, since, toInput, until } from "../../copilot_socket/dashboard/core/times.js";

const NOW = Date.parse("2026-03-01T12:00:00Z");

test("a duration has its two largest units", () => {
  const shown = [0, 0.0004, 0.0354, 1, 9.94, 9.96, 59.6, 60, 3599, 3600, 3661, 90_061, 86_400, 86_460].map(duration);
  assert.deepEqual(shown, ["0 s", "under 1 ms", "35 ms", "1 s", "9.9 s", "10 s", "1 min", "1 min", "59 min 59 s", "1 h", "1 h 1 min", "1 d 1 h", "1 d", "1 d"]);
  assert.equal(duration(-90), "−1 min 30 s");
});

test("an age looks both ways", () => {
  const at = (/** @type {number} */ seconds) => relative(NOW - seconds * 1000, NOW);
  assert.deepEqual([0, 1.9, 2, 59, 60, 7199, 86_400 * 400, -30, -7300].map(at), ["just now", "just now", "2 s ago", "59 s ago", "1 min ago", "1 h ago", "400 d ago", "in 30 s", "in 2 h 1 min"]);
});

test("within a sentence a time says for how long, or names the date", () => {
  const date = "2026-03-01 12:00:00 UTC";
  assert.deepEqual([0, 1_400, 65_000, -5_000].map((age) => since(NOW - age, NOW, null)), ["for 0 s", "for 1 s", "for 1 min 5 s", "for 0 s"]);
  assert.deepEqual([7_500_000, 400, -5_000].map((rest) => until(NOW + rest, NOW, null)), ["for another 2 h 5 min", "until now", "until now"]);
  assert.deepEqual([since(NOW, NOW, date), until(NOW, NOW, date)], [`since ${date}`, `until ${date}`]);
});

test("a time names its zone", () => {
  assert.equal(absolute("2026-03-01T12:00:05Z", "UTC"), "2026-03-01 12:00:05 UTC");
  assert.equal(absolute("2026-03-01T23:30:00Z", "Asia/Kolkata"), "2026-03-02 05:00:00 GMT+5:30");
  assert.equal(absolute("2026-07-01T22:00:00Z", "Europe/Berlin"), "2026-07-02 00:00:00 CEST");
});

test("what is typed into a field for times comes back", () => {
  for (const time of ["2026-03-01T12:00:05.000Z", "2026-10-25T00:30:00.000Z"]) assert.equal(fromInput(toInput(time)), time);
  assert.deepEqual([toInput(null), toInput("nonsense"), fromInput(""), fromInput("nonsense")], ["", "", null, null]);
});
