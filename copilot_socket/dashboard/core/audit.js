// @ts-check
/** Rows of the audit log (docs/http.md, "Audit log"). Pure. */

/** @import { AuditEntry } from "../../web/types.d.ts" */

import { pathOf } from "./addresses.js";
import { coveredAt } from "./pauses.js";

/** What is recorded: object and verb. Those of refusals are what was asked for. */
export const AUDITED = [
  "job.submit", "job.cancel", "job.retry", "job.pause", "job.resume", "job.delete",
  "operation.start", "operation.abort", "operation.end",
  "account.put", "account.change", "account.renew", "account.delete", "account.empty",
  "crawler.drain", "crawler.quarantine", "crawler.release", "crawler.shutdown",
  "pause.add", "pause.end", "host.change", "budget.put", "budget.forget",
  "error.retry", "error.ignore", "error.unignore",
  "webhook.add", "webhook.change", "webhook.remove", "webhook.rotate", "webhook.test", "webhook.retry",
  "token.add", "token.revoke", "session.start", "session.end", "session.link",
  "seed", "migrate", "cleanup", "keys.rotate", "oauth_client.put", "oauth_client.remove",
];

/** The lists of what targets are the ids of, by the object of the action. @type {Record<string, string>} */
const LISTS = { job: "/jobs", operation: "/operations", account: "/accounts", crawler: "/crawlers", error: "/errors", seed: "/accounts" };
/** Pages about all of them. @type {Record<string, string>} */
const PAGES = { host: "/pauses", budget: "/pauses", token: "/tokens", webhook: "/tokens" };

/** Where the target of a row is; null if it is gone, or nowhere.
 * @param {Pick<AuditEntry, "action" | "target" | "details" | "outcome">} row */
export function targetAt({ action, target, details, outcome }) {
  if (target === null || outcome === "refused") return null;
  if (["job.delete", "account.delete", "account.empty", "token.revoke", "webhook.remove"].includes(action)) return null;
  if (action === "job.submit") return pathOf("/accounts", target);
  const [object] = action.split(".");
  if (object === "pause") return coveredAt(details?.scope, target) ?? "/pauses";
  return object in LISTS ? pathOf(LISTS[object], target) : PAGES[object] ?? null;
}
