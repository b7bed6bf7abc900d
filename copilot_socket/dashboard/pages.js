// @ts-check
/** The pages by their paths, in the order of the navigation. Their modules are loaded when they are first opened. */

/** @import { Role } from "./ui/api.js" */

/** @typedef {(props: any) => any} View Given the parts of the path. */

/**
 * @typedef {object} Page
 * @property {string} pattern Of its path.
 * @property {string} title
 * @property {() => Promise<View>} load
 * @property {string} [icon] Of its entry in the navigation; without one it has none.
 * @property {Role} needs
 * @property {boolean | "accounts"} [within] Sessions that are limited to accounts or users see it, too; with `accounts` only those limited to accounts.
 */

/** @type {Page[]} */
export const PAGES = [
  { pattern: "/", title: "Overview", load: () => import("./pages/overview.js").then(({ Overview }) => Overview), icon: "overview", needs: "read" },
  { pattern: "/jobs", title: "Jobs", load: () => import("./pages/jobs.js").then(({ Jobs }) => Jobs), icon: "jobs", needs: "read", within: true },
  { pattern: "/jobs/{id}", title: "Job", load: () => import("./pages/job.js").then(({ Job }) => Job), needs: "read", within: true },
  { pattern: "/errors", title: "Errors", load: () => import("./pages/errors.js").then(({ Errors }) => Errors), icon: "errors", needs: "read" },
  { pattern: "/errors/{fingerprint}", title: "Error group", load: () => import("./pages/error.js").then(({ ErrorGroup }) => ErrorGroup), needs: "read" },
  { pattern: "/crawlers", title: "Crawlers", load: () => import("./pages/crawlers.js").then(({ Crawlers }) => Crawlers), icon: "crawlers", needs: "read" },
  { pattern: "/crawlers/{id}", title: "Crawler", load: () => import("./pages/crawler.js").then(({ Crawler }) => Crawler), needs: "read" },
  { pattern: "/accounts", title: "Accounts", load: () => import("./pages/accounts.js").then(({ Accounts }) => Accounts), icon: "accounts", needs: "read", within: "accounts" },
  { pattern: "/accounts/{id}", title: "Account", load: () => import("./pages/account.js").then(({ Account }) => Account), needs: "read", within: "accounts" },
  { pattern: "/areas", title: "Areas", load: () => import("./pages/areas.js").then(({ Areas }) => Areas), icon: "areas", needs: "read", within: "accounts" },
  { pattern: "/pauses", title: "Pauses", load: () => import("./pages/pauses.js").then(({ Pauses }) => Pauses), icon: "pauses", needs: "read" },
  { pattern: "/operations", title: "Operations", load: () => import("./pages/operations.js").then(({ Operations }) => Operations), icon: "operations", needs: "read", within: true },
  { pattern: "/operations/{id}", title: "Operation", load: () => import("./pages/operation.js").then(({ Operation }) => Operation), needs: "read", within: true },
  { pattern: "/audit", title: "Audit log", load: () => import("./pages/audit.js").then(({ Audit }) => Audit), icon: "audit", needs: "operate" },
  { pattern: "/tokens", title: "Tokens", load: () => import("./pages/tokens.js").then(({ Tokens }) => Tokens), icon: "tokens", needs: "admin" },
  { pattern: "/settings", title: "Settings", load: () => import("./pages/settings.js").then(({ Settings }) => Settings), icon: "settings", needs: "operate" },
];
