// @ts-check
/** The pages by their paths, in the order of the navigation. */

import { Account } from "./pages/account.js";
import { Accounts } from "./pages/accounts.js";
import { Areas } from "./pages/areas.js";
import { Audit } from "./pages/audit.js";
import { Crawler } from "./pages/crawler.js";
import { Crawlers } from "./pages/crawlers.js";
import { ErrorGroup } from "./pages/error.js";
import { Errors } from "./pages/errors.js";
import { Job } from "./pages/job.js";
import { Jobs } from "./pages/jobs.js";
import { Operation } from "./pages/operation.js";
import { Operations } from "./pages/operations.js";
import { Overview } from "./pages/overview.js";
import { Pauses } from "./pages/pauses.js";
import { Settings } from "./pages/settings.js";
import { Tokens } from "./pages/tokens.js";

/** @import { Role } from "./ui/api.js" */

/**
 * @typedef {object} Page
 * @property {string} pattern Of its path.
 * @property {string} title
 * @property {(props: any) => any} view Given the parts of the path.
 * @property {string} [icon] Of its entry in the navigation; without one it has none.
 * @property {Role} needs
 * @property {boolean | "accounts"} [within] Sessions that are limited to accounts or users see it, too; with `accounts` only those limited to accounts.
 */

/** @type {Page[]} */
export const PAGES = [
  { pattern: "/", title: "Overview", view: Overview, icon: "overview", needs: "read" },
  { pattern: "/jobs", title: "Jobs", view: Jobs, icon: "jobs", needs: "read", within: true },
  { pattern: "/jobs/{id}", title: "Job", view: Job, needs: "read", within: true },
  { pattern: "/errors", title: "Errors", view: Errors, icon: "errors", needs: "read" },
  { pattern: "/errors/{fingerprint}", title: "Error group", view: ErrorGroup, needs: "read" },
  { pattern: "/crawlers", title: "Crawlers", view: Crawlers, icon: "crawlers", needs: "read" },
  { pattern: "/crawlers/{id}", title: "Crawler", view: Crawler, needs: "read" },
  { pattern: "/accounts", title: "Accounts", view: Accounts, icon: "accounts", needs: "read", within: "accounts" },
  { pattern: "/accounts/{id}", title: "Account", view: Account, needs: "read", within: "accounts" },
  { pattern: "/areas", title: "Areas", view: Areas, icon: "areas", needs: "read", within: "accounts" },
  { pattern: "/pauses", title: "Pauses", view: Pauses, icon: "pauses", needs: "read" },
  { pattern: "/operations", title: "Operations", view: Operations, icon: "operations", needs: "read", within: true },
  { pattern: "/operations/{id}", title: "Operation", view: Operation, needs: "read", within: true },
  { pattern: "/audit", title: "Audit log", view: Audit, icon: "audit", needs: "operate" },
  { pattern: "/tokens", title: "Tokens", view: Tokens, icon: "tokens", needs: "admin" },
  { pattern: "/settings", title: "Settings", view: Settings, icon: "settings", needs: "operate" },
];
