// @ts-check
/**
 * A client of copilot-socket's HTTP API and of its live events, for browsers and Node.js (18 or newer). Every node serves
 * it as /client.js; docs/web-application.md shows what to do with it.
 *
 *     import { Client } from "/client.js";
 *     const client = new Client();                                       // a page of the node's origin, with a session
 *     const client = new Client({ url: "https://crawl.example", token });          // any other program
 *
 *     const job = await client.jobs.get(id);
 *     for await (const event of client.events({ types: "job" })) console.log(event.data);
 *
 * The methods take the parts of their path one by one, then the query or body, then Options. Types are in types.d.ts.
 *
 * @import { Bulk, LiveEvent, Method, Operations, Options, Problem, Resource } from "./types.d.ts"
 *
 * @typedef {{ state: "open" } | { state: "closed", error: unknown, retryIn: number } | { state: "lost", lost: number | null }}
 *   StreamState Connected; disconnected, and connected again in so many milliseconds; events are missing at this point, so
 *   many or, after a disconnection, an unknown number (null): read again what is shown.
 */

const RETRIES = 4;
/** Milliseconds: of the longest back-off, and of the longest wait that a server may ask for. */
const LONGEST_WAIT = 30_000;
const TEMPORARY = new Set([429, 502, 503, 504]);
const OVER = new Set(["completed", "failed", "cancelled"]);
/** @type {WeakMap<object, string>} */
const TAGS = new WeakMap();

/** The entity tag of an object that a client has read or changed, for the option ifMatch. @param {object} answer */
export function etagOf(answer) {
  return TAGS.get(answer);
}

/** An answer that is an error. */
export class ApiError extends Error {
  /**
   * @param {string} request Method and path.
   * @param {Response} response
   * @param {Problem} problem
   */
  constructor(request, response, problem) {
    const errors = problem.errors ?? [];
    const listed = errors.slice(0, 5).map((each) => `\n  ${each.path} ${each.message}`);
    super(`${request}: ${response.status} ${problem.detail || problem.title}${listed.join("")}`);
    this.name = "ApiError";
    this.status = response.status;
    /** The problem document (RFC 9457). That of a 409 may have `state`, `twin` or `pause`. */
    this.problem = problem;
    /** What is wrong with the request: JSON pointers into the body, or `?name`. */
    this.errors = errors;
    const seconds = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
    /** Milliseconds to wait, if the server says so. */
    this.retryAfter = Number.isNaN(seconds) ? null : seconds * 1000;
  }

  /** @param {string} request @param {Response} response */
  static async of(request, response) {
    const text = await response.text();
    const isProblem = response.headers.get("content-type")?.startsWith("application/problem+json");
    const { status, statusText: title } = response; // a proxy may answer with a page
    return new ApiError(request, response, isProblem ? JSON.parse(text) : { type: "about:blank", title, status, detail: "" });
  }
}

export class Client {
  #url;
  #token;
  /** Milliseconds by which the server's clock is ahead of this one's, to a second, as its last answer says; not across origins. */
  ahead = 0;

  /**
   * @param {object} [options]
   * @param {string} [options.url] Where the API is, without /api/v1; in browsers the origin of the page, unless given.
   * @param {string} [options.token] In browsers a session does as well.
   */
  constructor({ url = globalThis.location?.origin, token } = {}) {
    if (!url) throw new TypeError("url is required outside of browsers");
    this.#url = url.replace(/\/+$/, "");
    this.#token = token;
  }

  accounts = this.#resource({
    list: "GET /accounts", get: "GET /accounts/{id}", put: "PUT /accounts/{id}",
    change: "PATCH /accounts/{id}", delete: "DELETE /accounts/{id}", renew: "POST /accounts/{id}/credential",
    rediscover: "POST /accounts/{id}/rediscover",
  });
  areas = this.#resource({ list: "GET /areas", get: "GET /areas/{origin}/{path}", stats: "GET /areas/stats" });
  audit = this.#resource({ list: "GET /audit" });
  budgets = this.#resource({
    list: "GET /budgets", get: "GET /budgets/{origin}", put: "PUT /budgets", forget: "DELETE /budgets",
  });
  crawlers = this.#resource({
    list: "GET /crawlers", get: "GET /crawlers/{id}", drain: "POST /crawlers/{id}/drain", quarantine: "POST /crawlers/{id}/quarantine",
    release: "POST /crawlers/{id}/release", shutdown: "POST /crawlers/{id}/shutdown",
  });
  errors = this.#resource({
    list: "GET /errors", get: "GET /errors/{fingerprint}", retry: "POST /errors/{fingerprint}/retry",
    ignore: "POST /errors/{fingerprint}/ignore", unignore: "DELETE /errors/{fingerprint}/ignore",
  });
  hosts = this.#resource({ list: "GET /hosts", get: "GET /hosts/{origin}", change: "PATCH /hosts/{origin}" });
  jobs = {
    ...this.#resource({
      submit: "POST /jobs", list: "GET /jobs", get: "GET /jobs/{id}", why: "GET /jobs/{id}/why",
      cancel: "POST /jobs/{id}/cancel", pause: "POST /jobs/{id}/pause", resume: "POST /jobs/{id}/resume",
      retry: "POST /jobs/{id}/retry", delete: "DELETE /jobs/{id}",
    }),
    bulk: /** @type {Bulk} */ (this.#method("POST /jobs/bulk")),
    /** The job, once it is completed, failed or cancelled. @param {string} id @param {Options} [options] */
    wait: (id, options) => this.#end(id, options),
  };
  nodes = this.#resource({ list: "GET /nodes" });
  operations = {
    ...this.#resource({
      list: "GET /operations", get: "GET /operations/{id}", abort: "POST /operations/{id}/abort",
    }),
    /** How far it is, every second, until it has ended. @param {string} id @param {Options} [options] */
    wait: (id, options) => this.#progress(id, options),
  };
  overview = this.#method("GET /overview");
  pauses = this.#resource({
    list: "GET /pauses", add: "POST /pauses", get: "GET /pauses/{id}", end: "DELETE /pauses/{id}",
  });
  queue = this.#resource({ pause: "POST /queue/pause", resume: "POST /queue/resume" });
  session = this.#resource({
    get: "GET /session", start: "POST /session", link: "POST /session/links", end: "DELETE /session",
  });
  settings = this.#method("GET /settings");
  stats = this.#method("GET /stats");
  statsHistory = this.#method("GET /stats/history");
  tokens = this.#resource({ list: "GET /tokens", add: "POST /tokens", revoke: "DELETE /tokens/{name}" });
  users = this.#resource({ get: "GET /users/{id}" });
  webhooks = this.#resource({
    list: "GET /webhooks", add: "POST /webhooks", get: "GET /webhooks/{id}", change: "PATCH /webhooks/{id}",
    remove: "DELETE /webhooks/{id}", rotate: "POST /webhooks/{id}/rotate", test: "POST /webhooks/{id}/test",
    deliveries: "GET /webhooks/{id}/deliveries", retry: "POST /webhooks/{id}/deliveries/{delivery}/retry",
  });

  /**
   * Send a request, and read its answer. If that is safe (GET, or with an Idempotency-Key), it is sent again when the network
   * fails, and when a server or proxy is temporarily unavailable (429, 502, 503, 504), as soon as that allows.
   *
   * @param {string} method
   * @param {string} path Below /api/v1.
   * @param {Options & { query?: Record<string, any>, body?: unknown }} [options]
   * @returns {Promise<any>}
   * @throws {ApiError} For an answer that is an error. Without an answer: a TypeError; the reason of the signal.
   */
  async request(method, path, { query = {}, body, idempotencyKey, ifMatch, ifNoneMatch, maxAge, signal } = {}) {
    const key = method === "POST" && idempotencyKey === undefined ? newKey() : idempotencyKey;
    const headers = this.#headers("application/json");
    if (body !== undefined) headers.set("Content-Type", "application/json");
    if (key) headers.set("Idempotency-Key", key);
    if (ifMatch) headers.set("If-Match", ifMatch);
    if (ifNoneMatch) headers.set("If-None-Match", ifNoneMatch);
    if (maxAge) headers.set("Cache-Control", `max-age=${maxAge}`);
    const init = { method, headers, body: body === undefined ? null : JSON.stringify(body), signal: signal ?? null };
    const url = this.#address(path, query);
    const times = method === "GET" || key ? RETRIES : 0;
    for (let attempt = 0; ; attempt++) {
      try {
        const response = await fetch(url, init);
        this.ahead = Date.parse(response.headers.get("date") ?? "") - Date.now() || 0;
        if (!response.ok) throw await ApiError.of(`${method} ${path}`, response);
        const answer = JSON.parse(await response.text());
        const tag = response.headers.get("etag");
        if (tag) TAGS.set(answer, tag);
        return answer;
      } catch (error) {
        const again = error instanceof TypeError || isTemporary(error);
        const wait = backOff(error, attempt, 250);
        if (!again || attempt === times || wait > LONGEST_WAIT || signal?.aborted) throw error;
        await sleep(wait, signal);
      }
    }
  }

  /**
   * Live events, first a snapshot, until the signal is aborted or the loop is left. The connection is made again by itself,
   * unless the server refuses it (ApiError), and goes on behind the last event.
   *
   * @param {Operations["GET /events"]["given"][0] & { signal?: AbortSignal, onState?: (state: StreamState) => void,
   *   silence?: number }} [options] Filters; onState, which must not throw; and the milliseconds without a byte after which a
   *   connection is dead: the node sends a comment each 15 s.
   * @returns {AsyncGenerator<LiveEvent, void, void>}
   */
  async *events({ signal, onState = () => {}, silence = 45_000, ...query } = {}) {
    let parser = new EventParser();
    for (let failures = 0; !signal?.aborted; failures++) {
      const connection = new AbortController();
      const stop = () => connection.abort(signal?.reason);
      signal?.addEventListener("abort", stop);
      /** @type {unknown} */
      let error = null;
      try {
        const headers = this.#headers("text/event-stream");
        if (parser.lastId) headers.set("Last-Event-ID", parser.lastId);
        const sent = fetch(this.#address("/events", query), { headers, signal: connection.signal, cache: "no-store" });
        const response = await unlessSilent(sent, silence, connection);
        if (!response.ok || !response.body) throw await ApiError.of("GET /events", response);
        onState({ state: "open" });
        parser = new EventParser(parser.lastId, parser.retry);
        for (const reader = response.body.getReader(); ; ) {
          const { done, value } = await unlessSilent(reader.read(), silence, connection);
          if (done) break;
          failures = 0;
          for (const { id, type, data } of parser.feed(value)) {
            if (type === "lost") onState({ state: "lost", lost: JSON.parse(data).lost });
            else yield /** @type {LiveEvent} */ ({ id, type, data: JSON.parse(data) });
            if (signal?.aborted) return;
          }
        }
      } catch (thrown) {
        if (signal?.aborted) return;
        if (thrown instanceof ApiError && !isTemporary(thrown)) throw thrown;
        error = thrown;
      } finally {
        signal?.removeEventListener("abort", stop);
        connection.abort();
      }
      const retryIn = backOff(error, failures, parser.retry);
      onState({ state: "closed", error, retryIn });
      await sleep(retryIn, signal).catch(() => {}); // the loop ends then
    }
  }

  /**
   * @template {Record<string, keyof Operations>} T
   * @param {T} operations
   * @returns {Resource<T>}
   */
  #resource(operations) {
    /** @type {Record<string, any>} */
    const methods = {};
    for (const [name, operation] of Object.entries(operations)) methods[name] = this.#method(operation);
    if (methods.list) methods.all = (/** @type {any[]} */ ...given) => rows(methods.list, ...given);
    return /** @type {any} */ (methods);
  }

  /**
   * @template {keyof Operations} K
   * @param {K} operation
   * @returns {Method<K>}
   */
  #method(operation) {
    const [method, pattern] = operation.split(" ");
    const parts = pattern.match(/{\w+}/g) ?? [];
    return async (/** @type {any[]} */ ...given) => {
      const path = parts.reduce((known, part, at) => known.replace(part, () => segment(part, given[at])), pattern);
      const [content, options] = given.slice(parts.length);
      const where = method === "GET" || method === "DELETE" ? { query: content } : { body: content };
      return this.request(method, path, { ...options, ...where });
    };
  }

  /** @param {string} id @param {Options} [options] @returns {Promise<Operations["GET /jobs/{id}"]["answer"]>} */
  async #end(id, options) {
    for (;;) {
      const job = await this.jobs.get(id, { wait: 30 }, options);
      if (OVER.has(job.status)) return job;
    }
  }

  /** @param {string} id @param {Options} [options] @returns {AsyncGenerator<Operations["GET /operations/{id}"]["answer"], void>} */
  async *#progress(id, options) {
    for (;;) {
      const operation = await this.operations.get(id, {}, options);
      yield operation;
      if (operation.status !== "running") return;
      await sleep(1000, options?.signal);
    }
  }

  /** @param {string} accept */
  #headers(accept) {
    const headers = new Headers({ Accept: accept });
    if (this.#token !== undefined) headers.set("Authorization", `Bearer ${this.#token}`);
    return headers;
  }

  /** @param {string} path @param {Record<string, any>} query Lists are sent as values separated by commas. */
  #address(path, query) {
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
    const parameters = new URLSearchParams(given.map(([name, value]) => [name, value instanceof Date ? value.toISOString() : String(value)])).toString();
    return `${this.#url}/api/v1${path}${parameters && `?${parameters}`}`;
  }
}

/** Reads the Server-Sent Events of one connection (HTML Standard, section 9.2) from bytes, wherever these are cut. */
export class EventParser {
  #decoder = new TextDecoder();
  #rest = "";
  #afterReturn = false;
  #type = "";
  #data = /** @type {string[]} */ ([]);
  #id;

  /** @param {string} [lastId] The id of the last event. @param {number} [retry] Milliseconds before the next connection. */
  constructor(lastId = "", retry = 2000) {
    this.lastId = this.#id = lastId;
    this.retry = retry;
  }

  /** The events that *bytes* complete. @param {Uint8Array} bytes @returns {{ id: string, type: string, data: string }[]} */
  feed(bytes) {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (!text) return [];
    if (this.#afterReturn && text[0] === "\n") text = text.slice(1); // the line has ended already
    this.#afterReturn = text.endsWith("\r");
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop() ?? "";
    return lines.flatMap((line) => this.#take(line));
  }

  /** @param {string} line */
  #take(line) {
    if (line === "") return this.#event();
    const [, name, value] = /** @type {RegExpMatchArray} */ (line.match(/^([^:]*)(?:: ?(.*))?$/s));
    if (name === "data") this.#data.push(value ?? "");
    else if (name === "event") this.#type = value ?? "";
    else if (name === "id" && !value?.includes("\0")) this.#id = value ?? "";
    else if (name === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
    return [];
  }

  #event() {
    const event = { id: this.#id, type: this.#type || "message", data: this.#data.join("\n") };
    const complete = this.#data.length > 0;
    this.lastId = this.#id;
    this.#type = "";
    this.#data = [];
    return complete ? [event] : [];
  }
}

/** @param {Function} list @param {Record<string, any>} [query] @param {Options} [options] @returns {AsyncGenerator<any, void, void>} */
async function* rows(list, query, options) {
  for (let cursor = query?.cursor; cursor !== null; ) {
    const page = await list({ ...query, cursor }, options);
    yield* Object.values(page).find(Array.isArray) ?? [];
    cursor = page.next;
  }
}

/** @param {string} part @param {unknown} value */
function segment(part, value) {
  const text = String(value ?? "");
  if (["", ".", ".."].includes(text)) throw new TypeError(`${part} can't be ${JSON.stringify(value)}`); // URLs lose these
  return encodeURIComponent(text);
}

/** Unique, but no secret. Not every browser and Node.js has crypto.randomUUID. */
function newKey() {
  return [Date.now(), Math.random(), Math.random()].map((number) => number.toString(36).replace("0.", "")).join("-");
}

/** @param {unknown} error */
function isTemporary(error) {
  return error instanceof ApiError && TEMPORARY.has(error.status);
}

/** Milliseconds to wait. @param {unknown} error @param {number} attempt From 0. @param {number} first Of the first wait. */
function backOff(error, attempt, first) {
  const least = (error instanceof ApiError && error.retryAfter) || 0;
  return least + Math.min(LONGEST_WAIT, first * 2 ** attempt) * (0.5 + Math.random() / 2);
}

/** @param {number} milliseconds @param {AbortSignal} [signal] @returns {Promise<void>} */
function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      if (signal?.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal?.addEventListener("abort", end);
    if (signal?.aborted) end();
  });
}

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {number} milliseconds
 * @param {AbortController} connection Aborted after so long.
 */
async function unlessSilent(promise, milliseconds, connection) {
  const late = () => connection.abort(new Error(`nothing was received for ${milliseconds / 1000} s`));
  const timer = setTimeout(late, milliseconds);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}
