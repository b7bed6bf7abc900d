// @ts-check
/**
 * The filter of jobs: the parameters of GET /api/v1/jobs, which are those of the page's address, and the `filter` of an
 * operation. Pure.
 */

/** @import { JobFilterBody } from "../../web/types.d.ts" */

import { picked } from "./addresses.js";
import { CAUSES, COMMANDS, STATES } from "./jobs.js";

/**
 * @typedef {object} FilterField
 * @property {keyof JobFilterBody} name
 * @property {string} label
 * @property {"choices" | "text" | "flag" | "time"} kind
 * @property {string[]} [choices]
 * @property {string} [hint]
 * @property {[yes: string, no: string]} [flags] The words for both.
 */

/** @type {FilterField[]} */
export const FIELDS = [
  { name: "status", label: "State", kind: "choices", choices: STATES },
  { name: "search", label: "Search", kind: "text", hint: "part of a path, branch or id" },
  { name: "command", label: "Command", kind: "choices", choices: COMMANDS },
  { name: "account_id", label: "Account", kind: "text" },
  { name: "path_prefix", label: "Below", kind: "text", hint: "a group or project, with all below it" },
  { name: "cause", label: "Cause of the last end", kind: "choices", choices: CAUSES },
  { name: "error", label: "Error", kind: "text", hint: "the fingerprint of an error group" },
  { name: "user_id", label: "User", kind: "text", hint: "of the web application" },
  { name: "full_path", label: "Path", kind: "text", hint: "exactly this group or project" },
  { name: "spawned_from", label: "Spawned from", kind: "text", hint: "the id of a job" },
  { name: "root", label: "Tree of", kind: "text", hint: "the id of a job: it, and all that descend from it" },
  { name: "spawned", label: "Origin", kind: "flag", flags: ["discovered", "submitted"] },
  { name: "started", label: "Started", kind: "flag", flags: ["started", "never started"] },
  { name: "finished", label: "Over", kind: "flag", flags: ["over", "not over"] },
  { name: "created_after", label: "Submitted from", kind: "time" },
  { name: "created_before", label: "Submitted before", kind: "time" },
  { name: "updated_after", label: "Changed from", kind: "time" },
  { name: "updated_before", label: "Not changed since", kind: "time" },
  { name: "finished_after", label: "Ended from", kind: "time" },
  { name: "finished_before", label: "Ended before", kind: "time" },
];

const BY_NAME = new Map(FIELDS.map((field) => [/** @type {string} */ (field.name), field]));

/** What of an address is the filter, as text by name. @param {URLSearchParams} query @returns {Record<string, string>} */
export function filterIn(query) {
  return picked(query, [...BY_NAME.keys()]);
}

/**
 * The filter of an operation.
 *
 * @param {Record<string, string>} filter As text by name.
 * @returns {JobFilterBody}
 */
export function toBody(filter) {
  /** @type {Record<string, unknown>} */
  const body = {};
  for (const [name, value] of Object.entries(filter)) {
    const kind = BY_NAME.get(name)?.kind;
    if (kind === "choices") body[name] = value.split(",");
    else if (kind === "flag") body[name] = value === "true";
    else if (kind) body[name] = value;
  }
  return body;
}

/** The text by name of an operation's filter. @param {Record<string, any> | null} body @returns {Record<string, string>} */
export function fromBody(body) {
  const given = Object.entries(body ?? {}).filter(([, value]) => value !== null && value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => [name, String(value)]));
}

/** The filter in words, each condition on its own. @param {Record<string, string>} filter @returns {string[]} */
export function inWords(filter) {
  return Object.entries(filter).map(([name, value]) => {
    const field = BY_NAME.get(name);
    if (field === undefined) return `${name}: ${value}`;
    if (field.flags) return field.flags[value === "true" ? 0 : 1];
    return `${field.label}: ${value.split(",").join(" or ")}`;
  });
}

/** Whether a job event may be of a job that the filter finds; what it does not say is taken to fit.
 * @param {Record<string, string>} filter @param {Record<string, any>} event */
export function mayMatch(filter, event) {
  return ["status", "account_id", "user_id", "command", "full_path", "cause", "error"].every((name) => {
    const wanted = filter[name];
    return wanted === undefined || event[name] === undefined || wanted.split(",").includes(String(event[name]));
  });
}
