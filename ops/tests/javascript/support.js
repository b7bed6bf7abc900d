// What the tests of the client share: the client that is installed, and servers that answer as a test says.

import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

export const { ApiError, Client, EventParser, etagOf } = await import(pathToFileURL(process.env.COPILOT_CLIENT).href);

/** A client of a server whose requests *answer* answers, and the requests so far. Both end with the test. */
export async function serve(test, answer, options = {}) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    requests.push({ method: request.method, url: request.url, headers: request.headers, body });
    await answer(response, requests.length, request);
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  test.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${server.address().port}`;
  return { client: new Client({ url, token: "t0ken", ...options }), requests, url };
}

export function json(response, status, document, headers = {}) {
  const kind = status < 400 ? "application/json" : "application/problem+json";
  response.writeHead(status, { "Content-Type": kind, ...headers }).end(JSON.stringify(document));
}

export function problem(response, status, more = {}, headers = {}) {
  json(response, status, { type: "about:blank", title: `Status ${status}`, status, detail: `Detail of ${status}`, ...more }, headers);
}
