// @ts-check
/** Operations in words. Pure. */

/** @import { BulkOperation, Job } from "../../web/types.d.ts" */

import { fromBody, inWords } from "./filters.js";
import { ACTIONS } from "./jobs.js";
import { count, counted, total } from "./numbers.js";

/** The filter of an operation, as an address of the list of jobs has it; null where jobs were named.
 * @param {Pick<BulkOperation, "filter">} operation */
export function filterOf({ filter }) {
  return filter && fromBody(filter);
}

/** What an operation does: `Retry`. @param {Pick<BulkOperation, "action">} operation */
export function actionOf({ action }) {
  return ACTIONS.find((each) => each.action === action)?.label ?? action;
}

/**
 * How far it is: how many it has changed, `of` how many, in words, and the share that is done. An estimate is not told any more
 * once it is exceeded: then `of` is null, and the share undefined until the end.
 *
 * @param {Pick<BulkOperation, "status" | "expected" | "expected_exact" | "changed_total" | "skipped_total">} operation
 */
export function progressOf({ status, expected, expected_exact, changed_total, skipped_total }) {
  const known = expected_exact || (status !== "done" && changed_total + skipped_total < expected);
  return {
    changed: count(changed_total),
    of: known ? total(expected, expected_exact) : null,
    share: status === "done" ? 1 : known ? Math.min(1, (changed_total + skipped_total) / Math.max(1, expected)) : undefined,
  };
}

/** Whether a job that is over may be one of those that an operation has ended. @param {BulkOperation} operation @param {Pick<Job, "status" | "finished_at" | "account_id" | "command" | "full_path">} job */
export function mayHaveEnded({ action, filter, created_at, finished_at }, job) {
  if (action !== "cancel" || job.status !== "cancelled" || job.finished_at === null) return false;
  const at = Date.parse(job.finished_at);
  if (at < Date.parse(created_at) || (finished_at !== null && at > Date.parse(finished_at))) return false;
  const { account_id, command, full_path, path_prefix } = filter === null ? {} : fromBody(filter);
  const among = (/** @type {string | undefined} */ wanted, /** @type {string | null} */ value) => wanted === undefined || wanted.split(",").includes(`${value}`);
  return among(account_id, job.account_id) && among(command, job.command) && among(full_path, job.full_path)
    && (path_prefix === undefined || `${job.full_path}/`.startsWith(`${path_prefix}/`));
}

/** Which jobs it is about. @param {Pick<BulkOperation, "filter" | "ids">} operation */
export function jobsOf({ filter, ids }) {
  if (filter === null) return counted(ids ?? 0, "chosen job");
  return inWords(fromBody(filter)).join(", ") || "all";
}
