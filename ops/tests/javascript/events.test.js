// Live events: what comes, and what is done when nothing does.

import assert from "node:assert/strict";
import { test } from "node:test";
import { problem, serve } from "./support.js";

const GREETING = "retry: 20\n: live events\n\n";
const event = (id, data, type = "job") => `id: ${id}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`;

function stream(response, text = "") {
  response.writeHead(200, { "Content-Type": "text/event-stream" }).write(GREETING + text);
}

/** The first *count* events, and the states in between. */
async function take(client, count, options = {}) {
  const states = [];
  const events = [];
  const onState = (state) => states.push(state);
  for await (const each of client.events({ onState, ...options })) {
    events.push(each);
    if (events.length === count) break;
  }
  return { events, states, names: states.map(({ state, lost }) => (state === "lost" ? lost : state)) };
}

test("events, with filters and the token; leaving the loop ends the connection", async (test) => {
  let closed;
  const gone = new Promise((resolve) => (closed = resolve));
  const { client, requests } = await serve(test, (response) => {
    stream(response, event("n-1", { id: "a" }) + ": keep-alive\n\n" + event("n-2", { id: "b" }, "pause"));
    response.on("close", closed);
  });
  const { events, names } = await take(client, 2, { types: ["job", "pause"], account_id: "me" });
  assert.deepEqual(events, [
    { id: "n-1", type: "job", data: { id: "a" } },
    { id: "n-2", type: "pause", data: { id: "b" } },
  ]);
  assert.deepEqual(names, ["open"]);
  assert.equal(requests[0].url, "/api/v1/events?types=job%2Cpause&account_id=me");
  assert.deepEqual([requests[0].headers.authorization, requests[0].headers["last-event-id"]], ["Bearer t0ken", undefined]);
  await gone;
});

test("a lost connection is made again, with the last id; the server says what is missing", async (test) => {
  const { client, requests } = await serve(test, (response, number) => {
    if (number === 1) {
      stream(response, event("n-1", { id: "a" }) + "id: n-2\ndata: {not complete");
      setTimeout(() => response.destroy(), 20);
    } else if (number === 2) {
      stream(response);
      response.end();
    } else if (number === 3) problem(response, 503, {}, { "Retry-After": "0" });
    else if (number === 4) response.writeHead(502).end();
    else stream(response, 'event: lost\ndata: {"lost": 12}\n\n' + event("m-1", { id: "b" }));
  });
  const { events, names, states } = await take(client, 2);
  assert.deepEqual(events.map(({ id }) => id), ["n-1", "m-1"]);
  assert.deepEqual(names, ["open", "closed", "open", "closed", "closed", "closed", "open", 12]);
  assert.deepEqual(requests.map(({ headers }) => headers["last-event-id"]), [undefined, "n-1", "n-1", "n-1", "n-1"]);
  const errors = states.filter(({ state }) => state === "closed").map(({ error }) => error?.status ?? error?.name ?? error);
  assert.deepEqual(errors, ["TypeError", null, 503, 502]);
  assert.ok(states.every(({ state, retryIn }) => state !== "closed" || (retryIn >= 10 && retryIn <= 320)));
});

test("a connection without a sign of life is given up, from its beginning on; comments are signs", async (test) => {
  const { client, requests } = await serve(test, (response, number) => {
    if (number === 1) return;
    stream(response);
    if (number === 2) return;
    let comments = 0;
    const timer = setInterval(() => {
      response.write(comments++ < 8 ? ": keep-alive\n\n" : event("n-1", {}));
      if (comments > 8) clearInterval(timer);
    }, 100);
  });
  const { events, states } = await take(client, 1, { silence: 400 });
  assert.equal(events.length, 1);
  assert.equal(requests.length, 3);
  const errors = states.filter(({ state }) => state === "closed").map(({ error }) => String(error));
  assert.match(errors[0], /nothing was received for 0.4 s/);
  assert.equal(errors.length, 2);
});

test("who reads slowly is not taken for a dead connection", async (test) => {
  const { client, requests } = await serve(test, (response) => {
    stream(response, event("n-1", {}));
    setTimeout(() => response.write(event("n-2", {})), 50);
  });
  const ids = [];
  for await (const { id } of client.events({ silence: 100 })) {
    ids.push(id);
    if (ids.length === 2) break;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  assert.deepEqual([ids, requests.length], [["n-1", "n-2"], 1]);
});

test("what the server refuses for good is an error", async (test) => {
  const { client, requests } = await serve(test, (response) => problem(response, 403));
  await assert.rejects(take(client, 1), { name: "ApiError", status: 403 });
  assert.equal(requests.length, 1);
});

test("a signal ends the loop: while it waits for events, between connections, and before", async (test) => {
  const { client, requests } = await serve(test, (response, number) => {
    if (number === 1) stream(response, event("n-1", {}) + event("n-2", {}));
    else problem(response, 503, {}, { "Retry-After": "20" });
  });
  let stop = new AbortController();
  setTimeout(() => stop.abort(), 100);
  assert.equal((await take(client, 9, { signal: stop.signal })).events.length, 2);

  stop = new AbortController();
  const onState = ({ state }) => state === "closed" && setTimeout(() => stop.abort(), 20);
  for await (const _ of client.events({ signal: stop.signal, onState })) assert.fail();
  for await (const _ of client.events({ signal: stop.signal })) assert.fail();
  assert.equal(requests.length, 2);

  stop = new AbortController();
  const { client: other } = await serve(test, (response) => stream(response, event("n-1", {}) + event("n-2", {})));
  const ids = [];
  for await (const { id } of other.events({ signal: stop.signal })) {
    ids.push(id);
    stop.abort();
  }
  assert.deepEqual(ids, ["n-1"]); // what came with it is not told any more
});
