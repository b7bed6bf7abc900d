// @ts-check
/** Acts on one job, and the submission of a new one. */

import { pathOf } from "../core/addresses.js";
import { ACTIONS, COMMANDS, subject } from "../core/jobs.js";
import { client } from "./api.js";
import { html } from "./html.js";

/** @import { Job } from "../../web/types.d.ts" */
/** @import { Act } from "./acts.js" */

/** @type {Record<string, string>} */
const DONE = { retry: "queued again", pause: "paused", resume: "queued again", recover: "taken from its crawler and queued again", cancel: "cancelled", delete: "deleted" };

/**
 * What can be done to *job* in its state.
 *
 * @param {Pick<Job, "id" | "status" | "command" | "full_path" | "branch">} job
 * @param {(result: any) => void} after
 * @returns {Act[]}
 */
export function jobActs(job, after) {
  return ACTIONS.filter(({ states }) => states.includes(job.status)).map(({ action, label, effect, asks, undo }) => ({
    verb: label,
    title: `${label} ${subject(job)}`,
    effect: html`<p>This ${effect}.</p>${asks ? html`<p><strong>${undo ? `To undo this, use ${undo}.` : "This can't be undone."}</strong></p>` : null}`,
    needs: "operate",
    asks,
    run: async () => {
      // One job is recovered by an operation, too: it may no longer be stuck.
      if (action === "recover") return client.jobs.bulk({ action, ids: [job.id] });
      return client.jobs[action](job.id);
    },
    done: (result) => (result.pausing ? "The crawler was asked to give the job back" : `The job is ${DONE[action]}`),
    action: action === "recover" ? "operation.start" : `job.${action}`,
    target: action === "recover" ? (result) => result.id : job.id,
    after,
  }));
}

/** @param {() => void} after @param {Record<string, string>} [known] Values to begin with. @returns {Act} */
export function submitAct(after, known = {}) {
  return {
    verb: "Submit",
    title: "Submit a job",
    effect: "A job for work that is live already is not added again.",
    needs: "operate",
    fields: [
      { name: "account_id", label: "Account", required: true, value: known.account_id },
      { name: "command", label: "Command", kind: "choice", choices: COMMANDS.filter((each) => each !== "probe").map((each) => [each, each]), value: known.command ?? COMMANDS[0] },
      { name: "full_path", label: "Group or project", hint: "Its path, as acme/shop. Discoveries and users need none.", value: known.full_path },
      { name: "branch", label: "Branch", shown: ({ command }) => command === "commits" },
      { name: "priority", label: "Priority", kind: "number", hint: "Higher first within its account; 0 unless given." },
      { name: "scheduled_at", label: "Not before", kind: "time", hint: "In the zone of this browser." },
    ],
    run: (values) => client.jobs.submit(/** @type {any} */ (Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null)))),
    done: ({ created: [isNew] }) => (isNew ? "The job is queued" : "Such a job is live already"),
    show: ({ id, created: [isNew] }) => html`<p>${isNew ? "The job is queued" : "Such a job is live already"}: <a href=${pathOf("/jobs", id)}>${id}</a></p>`,
    action: "job.submit",
    target: ({ created: [isNew] }) => (isNew ? null : undefined),
    after,
  };
}
