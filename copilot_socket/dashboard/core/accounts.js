// @ts-check
/** What the dashboard says of accounts. Pure. */

/** @import { Account } from "../../web/types.d.ts" */

/** Milliseconds before its expiry from which on a token that nothing renews is pointed out, as in the overview. */
const SOON = 7 * 86_400_000;

/** Whether a person has to renew the credential: `now`, `soon`, or null: not, as far as is known.
 * @param {Pick<Account, "credential_status" | "has_refresh_token" | "token_expires_at">} account @param {number} now */
export function renewalDue({ credential_status, has_refresh_token, token_expires_at }, now) {
  if (credential_status === "expired") return "now";
  if (has_refresh_token || token_expires_at === null) return null;
  const left = Date.parse(token_expires_at) - now;
  return left <= 0 ? "now" : left < SOON ? "soon" : null;
}

/** The origin of a GitLab. @param {string} url */
export function originOf(url) {
  return URL.canParse(url) ? new URL(url).origin : url;
}

/** A URL for a narrow column: without what is taken for granted. @param {string} url */
export function shortUrl(url) {
  return url.replace(/^https:\/\//, "").replace(/\/$/, "");
}
