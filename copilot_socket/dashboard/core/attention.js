// @ts-check
/** Where to go for what needs a person (docs/http.md, "Overview"). Pure data. */

/** @import { Attention } from "../../web/types.d.ts" */

/**
 * By kind: where to go and what the link says; the list that names are of, or the jobs that they stand for; a command that helps.
 *
 * @type {Partial<Record<Attention["kind"], { to?: string, label?: string, list?: string, jobsOf?: string, command?: string }>>}
 */
export const ADVICE = {
  credential_expired: { to: "/accounts?credential_status=expired", label: "See accounts", list: "/accounts" },
  credential_expiring: { to: "/accounts?order=token_expires_at", label: "See accounts", list: "/accounts" },
  crawler_quarantined: { to: "/crawlers?mode=quarantined", label: "See crawlers", list: "/crawlers" },
  crawler_failing: { to: "/crawlers", label: "See crawlers", list: "/crawlers" },
  crawler_silent: { to: "/crawlers?stale=true", label: "See crawlers", list: "/crawlers" },
  everything_paused: { to: "/pauses", label: "See pauses" },
  no_crawlers: { to: "/crawlers", label: "See crawlers" },
  unroutable: { to: "/jobs?status=queued", label: "See queued jobs", jobsOf: "/jobs?status=queued&command=" },
  lane_held: { to: "/pauses", label: "See what holds jobs back" },
  host_held: { to: "/errors", label: "See errors" },
  operation_failed: { to: "/operations?status=failed", label: "See operations", list: "/operations" },
  node_gone: { command: "copilot-socket nodes list" },
};
