// @ts-check
/** GitLab's budgets of requests: what is known of them, saying what is left, and forgetting it. */

import { shortUrl } from "../core/accounts.js";
import { count, counted } from "../core/numbers.js";
import { ActButton } from "./acts.js";
import { can, client } from "./api.js";
import { Empty, Ref, Time, Until } from "./bits.js";
import { html } from "./html.js";

/** @import { Budget, BudgetBody } from "../../web/types.d.ts" */
/** @import { Act } from "./acts.js" */
/** @import { Column } from "./table.js" */

/** Whose budget it is, in words. @param {Pick<Budget, "gitlab_origin" | "account_id" | "name">} budget */
function named({ gitlab_origin, account_id, name }) {
  return `${name ?? "the budget"} of ${account_id ?? "the whole host"} at ${shortUrl(gitlab_origin)}`;
}

export function NoBudgets() {
  return html`<${Empty} title="GitLab has not reported any limits yet.">Crawlers report what GitLab answers; until then no budget holds anything back.<//>`;
}

/** @param {Budget} budget */
export function budgetKey({ gitlab_origin, account_id, name }) {
  return JSON.stringify([gitlab_origin, account_id, name]);
}

/** Say what is left of a budget. @param {() => void} after @param {Partial<Budget>} [known] @returns {Act} */
export function setBudgetAct(after, known = {}) {
  const { gitlab_origin, account_id, name, limit, remaining } = known;
  const settled = gitlab_origin !== undefined && account_id !== undefined;
  return {
    verb: "Set",
    title: settled ? `Set ${named(/** @type {Budget} */ (known))}` : "Set a budget",
    effect: "The server goes by this, as if GitLab had said it, until a crawler reports something else or that time has come.",
    needs: "operate",
    fields: [
      ...(settled ? [] : /** @type {import("./acts.js").Field[]} */ ([
        { name: "gitlab_origin", label: "GitLab", required: true, value: gitlab_origin, hint: "As https://gitlab.example.org" },
        { name: "account_id", label: "Account", hint: "Empty: the whole host." },
        { name: "name", label: "Name of the throttle", hint: "As GitLab calls it; empty: unknown." },
      ])),
      { name: "remaining", label: "Requests that are left", kind: "number", required: true, min: 0, value: remaining === null || remaining === undefined ? "" : String(remaining) },
      { name: "limit", label: "Of how many", kind: "number", min: 1, value: limit === null || limit === undefined ? "" : String(limit) },
      { name: "reset_at", label: "Full again at", kind: "time", hint: "At most an hour ahead." },
    ],
    run: (values) => client.budgets.put(/** @type {BudgetBody} */ (settled ? { gitlab_origin, account_id, name, ...values } : values)),
    done: (budget) => `The server now goes by this: ${allowed(budget)}`,
    action: "budget.put",
    target: (budget) => budget.gitlab_origin,
    after,
  };
}

/** How many jobs a budget allows, and how long. @param {{ budget: Budget }} props */
export function Allows({ budget }) {
  const { jobs_allowed, until } = budget;
  return html`<span>${allowed(budget)}${until && jobs_allowed !== null ? html` <${Until} at=${until} />` : null}</span>`;
}

/** @param {Budget} budget */
function allowed({ jobs_allowed }) {
  if (jobs_allowed === 0) return "no job";
  return jobs_allowed === null ? "any number of jobs at a time" : `${counted(jobs_allowed, "job")} at a time`;
}

/** @param {Budget} budget @param {() => void} after @returns {Act} */
function forgetBudgetAct(budget, after) {
  const { gitlab_origin, account_id, name } = budget;
  return {
    verb: "Forget", title: `Forget ${named(budget)}`, needs: "operate",
    effect: "It no longer holds anything back, until a crawler reports what GitLab says of it",
    run: () => client.budgets.forget({ gitlab_origin, account_id: account_id ?? undefined, name: name ?? undefined }),
    done: `Forgotten: ${named(budget)}`, action: "budget.forget", target: gitlab_origin, after,
  };
}

/** Columns of a table of budgets. @param {() => void} after @returns {Column<Budget>[]} */
export function budgetColumns(after) {
  if (!can("operate")) return COLUMNS;
  const acts = (/** @type {Budget} */ budget) => html`<span class="acts"><${ActButton} small act=${setBudgetAct(after, budget)} /><${ActButton} small act=${forgetBudgetAct(budget, after)} /></span>`;
  return [...COLUMNS, { label: "Actions", kind: "short", cell: acts }];
}

/** @type {Record<Budget["source"], string>} */
const SOURCES = { crawler: "by a crawler", failure: "by a failure", operator: "by a person" };

/** @type {Column<Budget>[]} */
const COLUMNS = [
  { label: "GitLab", cell: ({ gitlab_origin, name }) => html`<span>${shortUrl(gitlab_origin)}${name ? html` <span class="hint">${name}</span>` : null}</span>` },
  { label: "Account", cell: ({ account_id }) => (account_id === null ? "the whole host" : html`<${Ref} to="/accounts" id=${account_id} />`) },
  { label: "Left", cell: ({ remaining, limit }) => (remaining === null ? "–" : `${count(remaining)}${limit === null ? "" : ` of ${count(limit)}`}`), number: true },
  { label: "Full again", cell: ({ reset_at }) => html`<${Time} at=${reset_at} />`, kind: "short" },
  { label: "Requests per job", cell: ({ requests_per_job }) => (requests_per_job === null ? "–" : count(Math.round(requests_per_job * 10) / 10)), number: true },
  {
    label: "Allows",
    cell: (budget) => html`<span><${Allows} budget=${budget} />
      ${budget.closed_until ? html`<br /><span class="hint">GitLab refuses requests <${Until} at=${budget.closed_until} /></span>` : null}</span>`,
  },
  { label: "Reported", cell: ({ source, updated_at }) => html`<span><${Time} at=${updated_at} /> <span class="hint">${SOURCES[source]}</span></span>` },
];

/** Those that say how many jobs a budget allows. */
export const BUDGETS = COLUMNS.filter(({ label }) => ["GitLab", "Account", "Left", "Allows"].includes(label));
