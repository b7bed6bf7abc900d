// @ts-check
/** Where to go for what needs a person (docs/http.md, "Overview"). Pure. */

/** @import { Attention } from "../../web/types.d.ts" */

import { jobsAt, pathOf } from "./addresses.js";

/** @param {string} id */
const account = (id) => pathOf("/accounts", id);
/** @param {string} id */
const crawler = (id) => pathOf("/crawlers", id);

/**
 * By kind: where to go and what the link says; where what is named is; a command that helps.
 *
 * @type {Partial<Record<Attention["kind"], { to?: string, label?: string, named?: (name: string) => string, command?: string }>>}
 */
export const ADVICE = {
  credential_expired: { to: "/accounts?credential_status=expired", label: "See accounts", named: account },
  credential_expiring: { to: "/accounts?order=token_expires_at", label: "See accounts", named: account },
  crawler_quarantined: { to: "/crawlers?mode=quarantined", label: "See crawlers", named: crawler },
  crawler_failing: { to: "/crawlers", label: "See crawlers", named: crawler },
  crawler_silent: { to: "/crawlers?stale=true", label: "See crawlers", named: crawler },
  everything_paused: { to: "/pauses", label: "See pauses" },
  no_crawlers: { to: "/crawlers", label: "See crawlers" },
  unroutable: { to: "/jobs?status=queued", label: "See queued jobs", named: (command) => jobsAt({ status: "queued", command }) },
  lane_held: { to: "/pauses", label: "See what holds jobs back" },
  host_held: { to: "/errors", label: "See errors" },
  operation_failed: { to: "/operations?status=failed", label: "See operations", named: (id) => pathOf("/operations", id) },
  node_gone: { command: "copilot-socket nodes list" },
};
