// @ts-check
/** Where to go for what needs a person (docs/http.md, "Overview"). Pure. */

/** @import { Attention } from "../../web/types.d.ts" */

import { address, jobsAt, pathOf } from "./addresses.js";

/** @param {string} id */
const account = (id) => pathOf("/accounts", id);
/** @param {string} id */
const crawler = (id) => pathOf("/crawlers", id);

/**
 * By kind: where to go and what the link says; where what is named is; what there is to be done.
 *
 * @type {Partial<Record<Attention["kind"], { to?: string, label?: string, named?: (name: string) => string, hint?: string }>>}
 */
export const ADVICE = {
  credential_expired: { to: "/accounts?credential_status=expired", label: "See accounts", named: account },
  credential_expiring: { to: "/accounts?order=token_expires_at", label: "See accounts", named: account },
  crawler_quarantined: { to: "/crawlers?mode=quarantined", label: "See crawlers", named: crawler },
  crawler_failing: { to: "/crawlers", label: "See crawlers", named: crawler },
  crawler_silent: { to: "/crawlers?stale=true", label: "See crawlers", named: crawler },
  everything_paused: { to: "/pauses", label: "See pauses" },
  no_crawlers: { to: "/crawlers", label: "See crawlers" },
  unroutable: {
    to: "/crawlers", label: "See crawlers", named: (command) => jobsAt({ status: "queued", command }),
    hint: "Start a crawler that takes them, or cancel them.",
  },
  lane_held: { to: "/pauses", label: "See what holds jobs back" },
  path_paused: { to: "/pauses", label: "See pauses", named: (path) => jobsAt({ status: "queued", path_prefix: path }) },
  host_held: { to: "/errors", label: "See errors", named: (origin) => address("/accounts", { gitlab_origin: origin }) },
  operation_failed: { to: "/operations?status=failed", label: "See operations", named: (id) => pathOf("/operations", id) },
  node_gone: { hint: "Its log may say why. It is shown here for an hour." },
};
