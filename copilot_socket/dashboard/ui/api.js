// @ts-check
/** The client of the API, and who is signed in. */

import { ApiError, Client } from "/client.js";
import { Store } from "./store.js";

/** @import { Session } from "../../web/types.d.ts" */

/** @typedef {Session["role"]} Role */

/** @type {Role[]} Each includes those before it. */
const ROLES = ["read", "operate", "app", "admin"];

/** Who is signed in: null for nobody, undefined until that is known. @type {Store<Session | null | undefined>} */
export const session = new Store(/** @type {Session | null | undefined} */ (undefined));

/** Whether the page was opened by a link whose code is used or has expired. */
export const badLink = new Store(false);

/** The client, which notices when the session has ended. */
class SessionClient extends Client {
  /** @override @type {Client["request"]} */
  async request(method, path, options) {
    try {
      return await inTouch(super.request(method, path, options));
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) session.set(null);
      // Somebody with another role may have signed in, in another tab.
      if (error instanceof ApiError && error.status === 403) void super.request("GET", "/session").then((who) => session.set(who), () => {});
      throw error;
    }
  }
}

export const client = new SessionClient();

/** Milliseconds since 1970 by the server's clock, unless this one goes the same, as far as its headers tell. */
export function now() {
  return Date.now() + (Math.abs(client.ahead) > 2_000 ? client.ahead : 0);
}

/**
 * What *sent* is answered with. Without an answer fetch throws a TypeError, as faults of the page do, in words of each browser.
 *
 * @template T
 * @param {Promise<T>} sent
 */
async function inTouch(sent) {
  try {
    return await sent;
  } catch (error) {
    throw error instanceof TypeError ? new Error("The node can't be reached", { cause: error }) : error;
  }
}

/** The one-time code of a link in the address: `#code=…`. */
export function codeOfLink() {
  return new URLSearchParams(location.hash.slice(1)).get("code");
}

/** Find out who is signed in. The code of a link signs in first. */
export async function beginSession() {
  const code = codeOfLink();
  let link = false;
  if (code) {
    await signIn(code).catch((error) => {
      if (!(error instanceof ApiError && error.status === 401)) throw error; // the code may be good yet
      link = true;
    });
    history.replaceState(history.state, "", location.pathname + location.search);
  }
  // Whoever is signed in already stays so.
  badLink.set(link);
  if (!session.value) session.set(await client.session.get());
  badLink.set(false);
}

/** @param {string} token Or a one-time code. @throws {Error} */
export async function signIn(token) {
  await inTouch(new Client({ token }).session.start());
  const who = await inTouch(new Client().session.get()).catch((error) => {
    if (!(error instanceof ApiError && error.status === 401)) throw error;
    throw new Error("The browser does not keep the session's cookie: allow cookies for this address", { cause: error });
  });
  session.set(who);
  badLink.set(false);
}

export async function signOut() {
  await client.session.end();
  session.set(null);
}

/** Whether the one who is signed in has *role*. @param {Role} role */
export function can(role) {
  return session.value ? ROLES.indexOf(session.value.role) >= ROLES.indexOf(role) : false;
}

/** Whether the session is limited to some accounts or users, and sees nothing else. */
export function isLimited() {
  return Boolean(session.value?.accounts || session.value?.users);
}

/**
 * *query* with the account and the user that a limited session has to name for events and areas: the first ones, unless it names
 * others that the session sees.
 *
 * @param {Record<string, any>} query
 * @returns {Record<string, any>}
 */
export function scoped(query) {
  const { accounts, users } = session.value ?? {};
  const among = (/** @type {string[]} */ names, /** @type {string} */ wanted) => (names.includes(wanted) ? wanted : names[0]);
  return { ...query, ...(accounts && { account_id: among(accounts, query.account_id) }), ...(users && { user_id: among(users, query.user_id) }) };
}

/** Whether the events of *query* leave out some of what a limited session sees. @param {Record<string, any>} query */
export function isPartial({ account_id, user_id }) {
  const { accounts, users } = session.value ?? {};
  return Boolean((accounts?.[1] && !account_id) || (users?.[1] && !user_id));
}

/** An error in words. @param {unknown} error @returns {string} */
export function inWords(error) {
  if (error instanceof ApiError) {
    const { detail, title } = error.problem;
    return [detail || title, ...error.errors.map(({ path, message }) => `${path} ${message}`)].join("; ");
  }
  return error instanceof Error ? error.message : String(error);
}
