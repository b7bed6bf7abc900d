// Server-Sent Events, cut anywhere.

import assert from "node:assert/strict";
import { test } from "node:test";
import { EventParser } from "./support.js";

const event = (data, more = {}) => ({ id: "", type: "message", data, ...more });

const STREAMS = [
  ["data: a\n\n", [event("a")]],
  ["data: a\r\rdata: b\r\r", [event("a"), event("b")]],
  ["data: a\r\n\r\ndata: b\r\n\r\n", [event("a"), event("b")]],
  ["data: a\r\n\rdata: b\n\r\ndata: c\r\n\n", [event("a"), event("b"), event("c")]],
  ["event: job\r\ndata: a\r\ndata: b\r\nid: 7\r\n\r\n", [event("a\nb", { type: "job", id: "7" })]],
  ["data: YHOO\ndata: +2\ndata: 10\n\n", [event("YHOO\n+2\n10")]],
  [": comment\n\n:\n\ndata\n\ndata\ndata\n\ndata:", [event(""), event("\n")]],
  ["data:test\n\ndata: test\n\ndata:  test\n\n", [event("test"), event("test"), event(" test")]],
  ["event: job\ndata: {\"a\": \"b:c\"}\nid: 7\n\n", [event('{"a": "b:c"}', { type: "job", id: "7" })]],
  // An id lasts until the next one, a type for one event; neither makes an event without data.
  ["id: 1\nevent: x\n\ndata: a\n\nid\ndata: b\n\n", [event("a", { id: "1" }), event("b")]],
  ["id: 1\ndata: a\n\nid: a\0b\ndata: b\n\n", [event("a", { id: "1" }), event("b", { id: "1" })]],
  ["other: x\n data: y\nDATA: z\n\ndata: a\n\n", [event("a")]],
  ["\uFEFFdata: Grüße 🚀\u2028\n\n", [event("Grüße 🚀\u2028")]],
  ["data: not complete\n", []],
];

test("all that the standard says, whole, cut in two at each byte, and byte by byte", () => {
  for (const [text, expected] of STREAMS) {
    const bytes = new TextEncoder().encode(text);
    const cuts = [[bytes], Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))];
    for (let at = 0; at <= bytes.length; at++) cuts.push([bytes.subarray(0, at), bytes.subarray(at)]);
    for (const pieces of cuts) {
      const parser = new EventParser();
      assert.deepEqual(pieces.flatMap((piece) => parser.feed(piece)), expected, JSON.stringify(text));
    }
  }
});

test("an event comes with its last byte, not later", () => {
  for (const end of ["\n\n", "\r\r", "\r\n\r"]) {
    const parser = new EventParser();
    assert.deepEqual(parser.feed(new TextEncoder().encode(`data: a${end}`)), [event("a")]);
  }
});

test("the id and the delay for the next connection", () => {
  const parser = new EventParser("6", 10);
  const feed = (text) => parser.feed(new TextEncoder().encode(text));
  feed("retry: 20\nid: 7\n");
  assert.deepEqual([parser.lastId, parser.retry], ["6", 20]); // the event of the id has not come yet
  feed("\nretry: 1e3\nretry: -1\nretry:\nretry\n");
  assert.deepEqual([parser.lastId, parser.retry], ["7", 20]);
  assert.deepEqual(feed("data: a\n\n"), [event("a", { id: "7" })]);
});
