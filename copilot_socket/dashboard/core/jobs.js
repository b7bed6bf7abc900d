// @ts-check
/** What the dashboard knows of jobs: their states, and what can be done in which of them (docs/http.md, "Jobs"). Pure. */

/** @import { Action, Cause, Job, JobBody, JobEvent, Status } from "../../web/types.d.ts" */

/** In the order of a job's life. @type {Status[]} */
export const STATES = ["queued", "assigned", "running", "paused", "waiting_credential", "completed", "failed", "cancelled"];

/** @type {Status[]} */
const TERMINAL = ["completed", "failed", "cancelled"];

/** @type {JobBody["command"][]} */
export const COMMANDS = [
  "GROUP_PROJECT_DISCOVERY", "group", "project", "issues", "mergeRequests", "commits", "branches", "pipelines", "users",
  "releases", "groupMilestones", "epics", "jobs", "mergeRequestNotes", "probe",
];

/** Why attempts end (docs/protocol.md, "Causes"). @type {Cause[]} */
export const CAUSES = [
  "completed", "job_error", "timed_out", "not_found", "forbidden", "gitlab_unavailable", "rate_limited", "credential",
  "crawler_lost", "idle", "released", "paused", "drained", "stuck", "poison", "cancelled",
];

/**
 * @typedef {object} JobAction What can be done to jobs.
 * @property {Action} action
 * @property {string} label
 * @property {Status[]} states In which it is possible.
 * @property {string} effect What it does: the end of "This …".
 * @property {boolean} [asks] It is asked for once more.
 * @property {string} [undo] What undoes it; what is asked for can't be undone unless this is given.
 */

/** @type {JobAction[]} */
export const ACTIONS = [
  {
    action: "retry", label: "Retry", states: ["failed", "cancelled"],
    effect: "queues failed and cancelled jobs once more, with all their attempts; they go on from their cursors",
  },
  {
    action: "pause", label: "Pause", states: ["queued", "assigned", "running"],
    effect: "holds jobs back until they are resumed; a running one keeps its cursor and costs no attempt",
  },
  { action: "resume", label: "Resume", states: ["paused"], effect: "queues paused jobs again" },
  {
    action: "recover", label: "Recover", states: ["assigned", "running"], asks: true,
    effect: "takes jobs from crawlers that are stuck and queues them again; what was not reported yet is crawled again",
  },
  {
    action: "cancel", label: "Cancel", states: ["queued", "assigned", "running", "paused", "waiting_credential"], asks: true, undo: "Retry",
    effect: "ends jobs that are not over; crawlers that work on them are told to stop",
  },
  {
    action: "delete", label: "Delete", states: TERMINAL, asks: true,
    effect: "removes jobs that are over, with their attempts and errors",
  },
];

/** The actions that one of *states* allows. @param {Iterable<Status>} states */
export function actionsFor(states) {
  const given = new Set(states);
  return ACTIONS.filter((each) => each.states.some((state) => given.has(state)));
}

/** @param {Status} status */
export function isOver(status) {
  return TERMINAL.includes(status);
}

/** What a job is about: `issues of acme/shop`. @param {{ command: string, full_path: string | null, branch?: string | null }} job */
export function subject({ command, full_path, branch }) {
  return `${command}${full_path ? ` of ${full_path}` : ""}${branch ? ` (${branch})` : ""}`;
}

/** The share that is done, from 0 to 1; null if that is not known. @param {Record<string, any> | null | undefined} progress */
export function share(progress) {
  const { processed, total } = progress ?? {};
  if (typeof processed !== "number" || typeof total !== "number" || total <= 0) return null;
  return Math.min(1, Math.max(0, processed / total));
}

/**
 * A job as an event leaves it; null once it is deleted.
 *
 * @template {Partial<Job>} T
 * @param {T} job
 * @param {JobEvent} event One of this job.
 * @returns {T | null}
 */
export function afterEvent(job, event) {
  if (event.event === "deleted") return null;
  const after = { ...job, updated_at: event.timestamp };
  if (event.status) {
    after.status = event.status;
    if (event.status === "running") after.started_at = event.timestamp;
    after.finished_at = isOver(event.status) ? event.timestamp : null;
  }
  if (event.cause) after.cause = event.cause;
  if (event.failures !== undefined) after.failures = event.failures;
  if (event.error) after.error = event.error;
  else if (event.status === "completed" || event.event === "retry") after.error = null;
  if (event.progress) after.progress = { ...job.progress, ...event.progress };
  return after;
}
