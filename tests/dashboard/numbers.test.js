import assert from "node:assert/strict";
import { test } from "node:test";
import { bounded, bytes, compact, count, counted, percent, sum, total } from "../../copilot_socket/dashboard/core/numbers.js";

test("counts are grouped, estimates and bounds say so", () => {
  assert.deepEqual([count(1234567), total(12_000, false), total(10_001, false), total(10_001), bounded(10_000), bounded(10_001)], ["1,234,567", "about 12,000", "more than 10,000", "10,001", "10,000", "10,000+"]);
  assert.deepEqual([counted(1, "job"), counted(2, "job"), counted(0, "job"), counted(2, "entry", "entries")], ["1 job", "2 jobs", "0 jobs", "2 entries"]);
});

test("large numbers are short", () => {
  assert.deepEqual([9999, 10_000, 12_345, 999_949, 999_950, 4_500_000, 2e9].map(compact), ["9,999", "10 k", "12.3 k", "999.9 k", "1 M", "4.5 M", "2 G"]);
});

test("sizes have binary units", () => {
  assert.deepEqual([0, 1023, 1024, 1536, 1024 ** 2 * 100, 1024 ** 5].map(bytes), ["0 B", "1023 B", "1 KiB", "1.5 KiB", "100 MiB", "1024 TiB"]);
});

test("small shares have a fraction", () => {
  assert.deepEqual([0, 0.004, 0.05, 0.5, 1].map(percent), ["0\u00a0%", "0.4\u00a0%", "5\u00a0%", "50\u00a0%", "100\u00a0%"]);
  assert.equal(sum({ a: 1, b: 2 }), 3);
});
