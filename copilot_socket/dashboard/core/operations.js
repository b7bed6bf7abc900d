// @ts-check
/** Operations in words. Pure. */

/** @import { BulkOperation } from "../../web/types.d.ts" */

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

/** Which jobs it is about. @param {Pick<BulkOperation, "filter" | "ids">} operation */
export function jobsOf({ filter, ids }) {
  if (filter === null) return counted(ids ?? 0, "chosen job");
  return inWords(fromBody(filter)).join(", ") || "all";
}
