// @ts-check
/** Where to go for what needs a person (docs/http.md, "Overview"). Pure data. */

/** @import { Attention } from "../../web/types.d.ts" */

/**
 * By kind: where to go and what the link says; the list that names are of, or what they are a condition of; what there is to be done.
 *
 * @type {Partial<Record<Attention["kind"], { to?: string, label?: string, list?: string, within?: string, hint?: string }>>}
 */
export const ADVICE = {
  credential_expired: { to: "/accounts?credential_status=expired", label: "See accounts", list: "/accounts" },
  credential_expiring: { to: "/accounts?order=token_expires_at", label: "See accounts", list: "/accounts" },
  crawler_quarantined: { to: "/crawlers?mode=quarantined", label: "See crawlers", list: "/crawlers" },
  crawler_failing: { to: "/crawlers", label: "See crawlers", list: "/crawlers" },
  crawler_silent: { to: "/crawlers?stale=true", label: "See crawlers", list: "/crawlers" },
  everything_paused: { to: "/pauses", label: "See pauses" },
  no_crawlers: { to: "/crawlers", label: "See crawlers" },
  unroutable: { to: "/crawlers", label: "See crawlers", within: "/jobs?status=queued&command=", hint: "Start a crawler that takes them, or cancel them." },
  lane_held: { to: "/pauses", label: "See what holds jobs back" },
  path_paused: { to: "/pauses", label: "See pauses", within: "/jobs?status=queued&path_prefix=" },
  host_held: { to: "/errors", label: "See errors", within: "/accounts?gitlab_origin=" },
  node_gone: { hint: "Its log may say why. This is said for an hour." },
  operation_failed: { to: "/operations?status=failed", label: "See operations", list: "/operations" },
};
