// @ts-check
/** Groups of errors: retrying what they have failed, and not listing them any more. */

import { bounded } from "../core/numbers.js";
import { client } from "./api.js";
import { Running } from "./bulk.js";
import { html } from "./html.js";

/** @import { BulkOperation, ErrorGroup } from "../../web/types.d.ts" */
/** @import { Act } from "./acts.js" */

/** How many jobs a group has failed, in words. @param {Pick<ErrorGroup, "jobs_failed">} group */
function failedJobs({ jobs_failed }) {
  return `${bounded(jobs_failed)} ${jobs_failed === 1 ? "job" : "jobs"}`;
}

/**
 * What can be done about a group of errors.
 *
 * @param {Pick<ErrorGroup, "fingerprint" | "status" | "jobs_failed">} group
 * @param {() => void} after
 * @returns {Act[]}
 */
export function errorActs(group, after) {
  const { fingerprint, status, jobs_failed } = group;
  /** @type {Act[]} */
  const acts = [];
  if (jobs_failed > 0) {
    acts.push({
      verb: "Retry", title: `Retry the jobs that error ${fingerprint} has failed`, needs: "operate", fields: [],
      effect: html`<p>This queues the <strong>${failedJobs(group)}</strong> that it failed last once more, with all their attempts; they go on from their cursors.
        If the error occurs once more, the group is listed as regressed.</p>`,
      run: () => client.errors.retry(fingerprint), done: "The jobs are being queued again", action: "error.retry", target: fingerprint, after,
      show: (/** @type {BulkOperation} */ operation) => html`<${Running} began=${operation} after=${after} />`,
    });
  }
  acts.push(status === "ignored" ? {
    verb: "Stop ignoring", title: `Stop ignoring the errors ${fingerprint}`, effect: "The group is listed with the others again", needs: "operate",
    run: () => client.errors.unignore(fingerprint), done: "The group is listed again", action: "error.unignore", target: fingerprint, after,
  } : {
    verb: "Ignore", title: `Ignore the errors ${fingerprint}`, effect: "The group is no longer listed, unless ignored ones are asked for. Its errors still fail their jobs.", needs: "operate",
    run: () => client.errors.ignore(fingerprint), done: "The group is ignored", action: "error.ignore", target: fingerprint, after,
  });
  return acts;
}
