// @ts-check
/** Operations in words. Pure. */

/** @import { BulkOperation } from "../../web/types.d.ts" */

import { fromBody, inWords } from "./filters.js";
import { ACTIONS } from "./jobs.js";
import { counted } from "./numbers.js";

/** The filter of an operation, as an address of the list of jobs has it; null where jobs were named.
 * @param {Pick<BulkOperation, "filter">} operation */
export function filterOf({ filter }) {
  return filter && fromBody(filter);
}

/** What an operation does: `Retry`. @param {Pick<BulkOperation, "action">} operation */
export function actionOf({ action }) {
  return ACTIONS.find((each) => each.action === action)?.label ?? action;
}

/** Which jobs it is about. @param {Pick<BulkOperation, "filter" | "ids">} operation */
export function jobsOf({ filter, ids }) {
  if (filter === null) return counted(ids ?? 0, "chosen job");
  return inWords(fromBody(filter)).join(", ") || "all";
}
