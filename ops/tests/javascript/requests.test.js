// Requests, their errors, and what is sent again.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, Client, etagOf, json, problem, serve } from "./support.js";

test("method, path, query, body and headers", async (test) => {
  const { client, requests } = await serve(test, (response) => json(response, 200, { done: true }));
  await client.jobs.list({ status: ["failed", "cancelled"], path_prefix: "a&b/ü", total: true, cursor: undefined });
  await client.accounts.change("a/b {id} ?", { weight: 2 }, { ifMatch: '"7"' });
  await client.budgets.forget({ gitlab_origin: "https://gitlab.example" });
  await client.jobs.cancel("1");
  assert.deepEqual(await client.stats({}, { maxAge: 5 }), { done: true });
  assert.deepEqual(
    requests.map(({ method, url, body }) => [method, url, body]),
    [
      ["GET", "/api/v1/jobs?status=failed%2Ccancelled&path_prefix=a%26b%2F%C3%BC&total=true", ""],
      ["PATCH", "/api/v1/accounts/a%2Fb%20%7Bid%7D%20%3F", '{"weight":2}'],
      ["DELETE", "/api/v1/budgets?gitlab_origin=https%3A%2F%2Fgitlab.example", ""],
      ["POST", "/api/v1/jobs/1/cancel", ""],
      ["GET", "/api/v1/stats", ""],
    ],
  );
  assert.ok(requests.every(({ headers }) => headers.authorization === "Bearer t0ken"));
  assert.deepEqual(requests.map(({ headers }) => headers["content-type"]), [undefined, "application/json", undefined, undefined, undefined]);
  assert.equal(requests[1].headers["if-match"], '"7"');
  assert.equal(requests[4].headers["cache-control"], "max-age=5");
});

test("the entity tag of what was read, for a change", async (test) => {
  const { client, requests } = await serve(test, (response, number) => {
    json(response, 200, { weight: number }, number < 3 ? { ETag: `"${number}"` } : {});
  });
  const read = await client.accounts.get("me");
  const changed = await client.accounts.change("me", { weight: 2 }, { ifMatch: etagOf(read) });
  assert.deepEqual([etagOf(read), requests[1].headers["if-match"], etagOf(changed)], ['"1"', '"1"', '"2"']);
  assert.equal(etagOf(await client.stats()), undefined);
});

test("a part of a path is never lost", async (test) => {
  const { client, requests } = await serve(test, (response) => json(response, 200, {}));
  for (const id of ["", ".", "..", undefined, null]) await assert.rejects(client.jobs.cancel(id), TypeError);
  assert.equal(requests.length, 0);
  assert.throws(() => new Client(), /url is required/);
});

test("a url may have a path, and end with a slash", async (test) => {
  const { url, requests } = await serve(test, (response) => json(response, 200, {}));
  await new Client({ url: `${url}/crawl//` }).stats();
  assert.deepEqual([requests[0].url, requests[0].headers.authorization], ["/crawl/api/v1/stats", undefined]);
});

test("an error says what is wrong", async (test) => {
  const errors = [{ path: "/3/command", message: "must be one of a, b" }];
  const { client, requests } = await serve(test, (response) => problem(response, 422, { errors, twin: "01K" }));
  await assert.rejects(client.jobs.submit({}), (error) => {
    assert.ok(error instanceof ApiError);
    assert.deepEqual([error.status, error.errors, error.problem.twin, error.retryAfter], [422, errors, "01K", null]);
    assert.equal(error.message, "POST /jobs: 422 Detail of 422\n  /3/command must be one of a, b");
    return true;
  });
  assert.equal(requests.length, 1);
});

test("GET is repeated when the network fails, and when the server says so", async (test) => {
  const { client, requests } = await serve(test, (response, number) => {
    if (number === 1) response.destroy();
    else if (number === 2) response.writeHead(200, { "Content-Length": 100 }).write('{"done"', () => response.destroy());
    else if (number === 3) problem(response, 503, {}, { "Retry-After": "0" });
    else if (number === 4) response.writeHead(502, { "Content-Type": "text/html" }).end("<h1>Bad gateway</h1>");
    else json(response, 200, { done: true });
  });
  assert.deepEqual(await client.jobs.get("1"), { done: true });
  assert.equal(requests.length, 5);
});

test("a POST is repeated with its key, which is another one for each", async (test) => {
  const { client, requests } = await serve(test, (response, number) => {
    if (number % 2) problem(response, 429, {}, { "Retry-After": "0" });
    else json(response, 201, {});
  });
  await client.jobs.submit({ account_id: "me" });
  await client.jobs.submit({ account_id: "me" });
  await client.jobs.submit({ account_id: "me" }, { idempotencyKey: "mine" });
  const keys = requests.map(({ headers }) => headers["idempotency-key"]);
  assert.match(keys[0], /^[!-~]{20,255}$/);
  assert.deepEqual(keys, [keys[0], keys[0], keys[2], keys[2], "mine", "mine"]);
  assert.notEqual(keys[0], keys[2]);
  assert.ok(requests.every(({ body }) => body === '{"account_id":"me"}'));
});

test("nothing else is repeated", async (test) => {
  const { client, requests } = await serve(test, (response) => problem(response, 503, {}, { "Retry-After": "0" }));
  const calls = [
    () => client.jobs.submit({}, { idempotencyKey: null }),
    () => client.accounts.put("me", {}),
    () => client.accounts.change("me", {}),
    () => client.pauses.end("1"),
  ];
  for (const call of calls) await assert.rejects(call(), { status: 503, retryAfter: 0 });
  assert.equal(requests.length, calls.length);
  assert.equal(requests[0].headers["idempotency-key"], undefined);
});

test("who must wait for long learns it at once, and after five times it is enough", async (test) => {
  const { client, requests } = await serve(test, (response, _number, { url }) =>
    problem(response, 503, {}, { "Retry-After": url.endsWith("/long") ? "3600" : "0" }),
  );
  await assert.rejects(client.jobs.get("long"), { status: 503, retryAfter: 3_600_000 });
  assert.equal(requests.length, 1);
  await assert.rejects(client.jobs.get("1"), { status: 503 });
  assert.equal(requests.length, 6);
});

test("a signal ends a request, and its repetitions", async (test) => {
  const reached = [];
  const { client, requests } = await serve(test, (response, number) => {
    reached.shift()?.();
    if (number > 1) problem(response, 503, {}, { "Retry-After": "20" });
  });
  await assert.rejects(client.stats({}, { signal: AbortSignal.timeout(50) }), { name: "TimeoutError" });
  const stop = new AbortController();
  const waits = new Promise((resolve) => reached.push(resolve));
  const call = client.stats({}, { signal: stop.signal });
  await waits;
  setTimeout(() => stop.abort(new Error("enough")), 50);
  await assert.rejects(call, /enough/);
  await assert.rejects(client.stats({}, { signal: stop.signal }), /enough/);
  assert.equal(requests.length, 2);
});

test("all rows of a list, page by page, as far as they are read", async (test) => {
  const pages = { "": ["a", "b"], c1: [], c2: ["c"] };
  const next = { "": "c1", c1: "c2", c2: null };
  const { client, requests } = await serve(test, (response, _number, request) => {
    const cursor = new URL(request.url, "http://x").searchParams.get("cursor") ?? "";
    json(response, 200, { total: 3, jobs: pages[cursor].map((id) => ({ id })), next: next[cursor] });
  });
  const ids = [];
  for await (const job of client.jobs.all({ status: "failed" })) ids.push(job.id);
  assert.deepEqual(ids, ["a", "b", "c"]);
  assert.ok(requests.every(({ url }) => url.includes("status=failed")));
  for await (const job of client.jobs.all()) if (job.id === "b") break;
  assert.equal(requests.length, 4);
});

test("waiting for a job, and for an operation", async (test) => {
  const { client, requests } = await serve(test, (response, number) =>
    json(response, 200, { status: ["queued", "running", "failed", "running", "done"][number - 1] }),
  );
  assert.equal((await client.jobs.wait("1")).status, "failed");
  assert.ok(requests.every(({ url }) => url === "/api/v1/jobs/1?wait=30"));
  const seen = [];
  for await (const operation of client.operations.wait("2")) seen.push(operation.status);
  assert.deepEqual(seen, ["running", "done"]);
});

test("the server's clock", async (test) => {
  const { client } = await serve(test, (response, number) => {
    json(response, 200, {}, { Date: number === 1 ? new Date(Date.now() + 3_600_000).toUTCString() : "nonsense" });
  });
  assert.equal(client.ahead, 0);
  await client.stats();
  assert.ok(Math.abs(client.ahead - 3_600_000) < 5_000, String(client.ahead));
  await client.stats();
  assert.equal(client.ahead, 0);
});
