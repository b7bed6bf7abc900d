// @ts-check
/** What pauses cover (docs/http.md, "Pauses, limits, budgets"). Pure. */

import { address, jobsAt, pathOf } from "./addresses.js";

/** In words. @param {{ scope: string, target: string | null }} pause */
export function covered({ scope, target }) {
  return scope === "everything" ? "everything" : scope === "path_prefix" ? `${target} with all below it` : `${scope} ${target}`;
}

/** Where to see it; null: everywhere. @param {unknown} scope @param {string | null} target */
export function coveredAt(scope, target) {
  if (target === null) return null;
  if (scope === "account") return pathOf("/accounts", target);
  if (scope === "host") return address("/accounts", { gitlab_origin: target });
  return scope === "command" || scope === "path_prefix" ? jobsAt({ [scope]: target }) : null;
}
