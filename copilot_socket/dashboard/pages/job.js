// @ts-check
/** One job: why it is where it is, its attempts, its errors, and all that is stored of it. */

import { address, jobsAt, pathOf } from "../core/addresses.js";
import { crawlerName } from "../core/crawlers.js";
import { curl } from "../core/curl.js";
import { afterEvent, isOver, subject } from "../core/jobs.js";
import { jobsOf } from "../core/operations.js";
import { covered } from "../core/pauses.js";
import { duration } from "../core/times.js";
import { renewAct } from "../ui/account_acts.js";
import { ActButton, AuditLink } from "../ui/acts.js";
import { can, client, isLimited, now } from "../ui/api.js";
import { Badge, CopyButton, Copyable, Elapsed, Empty, ErrorMore, Facts, Json, Loaded, PageHead, Progress, Ref, Section, Sentence, Time } from "../ui/bits.js";
import { useData } from "../ui/data.js";
import { html } from "../ui/html.js";
import { jobActs } from "../ui/job_acts.js";
import { useStream } from "../ui/live.js";
import { endPauseAct } from "../ui/pause_acts.js";
import { go } from "../ui/router.js";
import { Table } from "../ui/table.js";

/** @import { Assignment, Attempt, JobDetail, JobError, Why, WhyReason } from "../../web/types.d.ts" */
/** @import { Column } from "../ui/table.js" */

/** @param {{ id: string }} props */
export function Job({ id }) {
  const read = useData(id, (options) => client.jobs.get(id, {}, options));
  // What it waits for changes with these, too; its turn comes nearer without an event.
  const why = useData(id, async (options) => ({ ...(await client.jobs.why(id, {}, options)), at: now() }), { on: ["pause", "host", "budget", "account"] });
  const again = () => {
    read.reload();
    why.reload();
  };
  const { account_id, user_id } = read.data ?? {};
  useStream({ types: "job", job_id: id, ...(isLimited() ? { account_id, user_id } : {}) }, (events) => {
    const jobs = events.flatMap(({ type, data }) => (type === "job" ? [data] : []));
    // Progress is told in whole; whatever else happens has changed attempts or errors, too.
    if (jobs.some(({ event }) => event !== "job_progress")) again();
    else read.patch((job) => jobs.reduce((before, event) => /** @type {JobDetail} */ (afterEvent(before, event) ?? before), job));
  }, again);
  /** @param {any} result */
  const after = (result) => (result?.deleted ? go("/jobs") : again());
  return html`${read.data ? null : html`<${PageHead} title="Job" />`}<${Loaded} read=${read}>${(/** @type {JobDetail} */ job) => html`
    <${PageHead} title=${subject(job)}>
      ${why.data?.reasons.some(({ code }) => code === "credential") ? html`<${ActButton} act=${renewAct({ id: job.account_id }, again)} kind="strong" label="Renew the credential" />` : null}
      ${jobActs(job, after).map((act) => html`<${ActButton} key=${act.verb} act=${act} />`)}
      <${CopyButton} named text=${curl("GET", `${location.origin}/api/v1/jobs/${encodeURIComponent(id)}`)} label="Copy as curl" />
    <//>
    <section aria-label="Why">
      <p><${Badge} value=${job.status} /> ${hasProgress(job) ? html`<${Progress} progress=${job.progress} />` : null}</p>
      <${Loaded} read=${why}>${(/** @type {Why & { at: number }} */ { sentence, reasons, at }) => html`<p class="why" role="status"><${Sentence} text=${sentence} /></p>
        ${!isLimited() && can("operate") && pausesOf(reasons).length ? html`<p class="acts">${pausesOf(reasons).map((pause) => html`<${ActButton} key=${pause.id} small act=${endPauseAct(pause, again)} label=${`End the pause of ${covered(pause)}`} />`)}</p>` : null}
        ${isOver(job.status) ? null : html`<p class="hint">As of <${Time} at=${at} /> <button type="button" class="quiet small" onClick=${why.reload}>Look again</button></p>`}`}<//>
      ${job.status === "cancelled" && can("operate") && !isLimited() ? html`<${CancelledBy} job=${job} />` : null}
    </section>
    <${Section} title="Job" aside=${can("operate") && !isLimited() ? html`<a href=${address("/audit", { target: id })}>Audit rows about it</a>` : null}>
      <${Facts} rows=${facts(job)} />
    <//>
    <${Attempts} job=${job} />
    <${Errors} job=${job} />
    <div class="columns">
      <${Section} title="Cursor">${job.resume_state
        ? html`<p class="hint">${isOver(job.status) ? "The last one reported." : "The next attempt continues here."}</p><${Json} value=${job.resume_state} />`
        : html`<${Empty} title=${isOver(job.status) ? "None." : "None: the next attempt starts from the beginning."} />`}<//>
      <${Section} title="Reported progress">${hasProgress(job) ? html`<${Json} value=${job.progress} />` : html`<${Empty} title=${isOver(job.status) ? "Nothing was reported." : "Nothing has been reported yet."} />`}<//>
    </div>
    <details><summary>All fields</summary><${Json} value=${job} /></details>`}<//>`;
}

/** @param {Pick<JobDetail, "progress">} job */
function hasProgress({ progress }) {
  return progress !== null && Object.keys(progress).length > 0;
}

/** The pauses among the reasons. @param {WhyReason[]} reasons */
function pausesOf(reasons) {
  return reasons.filter(({ code }) => code === "paused").map((/** @type {any} */ { pause_id, scope, target }) => ({ id: pause_id, scope, target }));
}

/** Who has cancelled it: alone, or with others. @param {{ job: JobDetail }} props */
function CancelledBy({ job }) {
  const { data } = useData(`${job.id} ${job.finished_at}`, async (options) => job.cancelled_with === null
    ? { row: (await client.audit.list({ target: job.id, action: "job.cancel", outcome: "done", limit: 1 }, options)).audit[0] }
    : { operation: await client.operations.get(job.cancelled_with, {}, options) });
  if (data?.row) return html`<p>Cancelled by ${data.row.actor}: <${AuditLink} audit=${data.row} /></p>`;
  if (!data?.operation) return null;
  return html`<p>Cancelled with others by ${data.operation.created_by}: <a href=${pathOf("/operations", data.operation.id)}>${jobsOf(data.operation)}</a></p>`;
}

/** @param {JobDetail} job @returns {[string, any][]} */
function facts(job) {
  return [
    ["Id", html`<${Copyable} text=${job.id} label="Copy the id" />`],
    ["Account", html`<${Ref} to="/accounts" id=${job.account_id} />`],
    ["User", job.user_id ? html`<a href=${jobsAt({ user_id: job.user_id })}>${job.user_id}</a>` : undefined],
    ["GitLab", job.gitlab_url],
    ["Path", job.full_path ? html`<a href=${jobsAt({ full_path: job.full_path, account_id: job.account_id })}>${job.full_path}</a>` : undefined],
    ["Branch", job.branch ?? undefined],
    ["Failures", `${job.failures} of ${job.max_attempts}`],
    ["Assignments", `${job.tries}, ${job.releases} lost`],
    ["Last cause", job.error ? html`<${Ref} to="/errors" id=${job.error}>${job.cause ?? "error"}<//>` : job.cause],
    ["Priority", String(job.priority)],
    ["Submitted", html`<${Time} at=${job.created_at} />`],
    ["Due", html`<${Time} at=${job.scheduled_at} />`],
    ["Started", html`<${Time} at=${job.started_at} />`],
    ["Changed", html`<${Time} at=${job.updated_at} />`],
    ["Ended", html`<${Time} at=${job.finished_at} />`],
    ["Spawned from", job.spawned_from ? html`<${Ref} to="/jobs" id=${job.spawned_from} />` : undefined],
    ["Has spawned", html`<a href=${jobsAt({ spawned_from: job.id })}>the jobs that it has discovered</a>`],
    ["Its tree", html`<a href=${jobsAt({ root: job.id })}>all that descend from it</a>`],
  ];
}

/** @typedef {Pick<Attempt, "try" | "crawler_key" | "assigned_at" | "started_at" | "crawler_job_id"> & { reported_at?: string | null, ended_at: string | null, outcome: string, cause: string | null, reason: string | null }} Shown */

/** @type {Column<Shown>[]} */
const ATTEMPTS = [
  { label: "Attempt", cell: (each) => each.try, number: true },
  { label: "End", cell: (each) => html`<span><${Badge} value=${each.outcome} />${each.reported_at ? html`<br /><span class="hint">last report <${Time} at=${each.reported_at} /></span>` : null}</span>` },
  { label: "Cause", cell: (each) => each.cause ?? "–" },
  { label: "Reason", cell: (each) => each.reason ?? "–" },
  { label: "Crawler", cell: (each) => html`<${Ref} to="/crawlers" id=${crawlerName(each.crawler_key)} />` },
  { label: "Assigned", cell: (each) => html`<${Time} at=${each.assigned_at} />`, kind: "short" },
  { label: "Started", cell: (each) => html`<${Time} at=${each.started_at} />`, kind: "short" },
  { label: "Took", cell: (each) => (each.ended_at ? duration((Date.parse(each.ended_at) - Date.parse(each.assigned_at)) / 1000) : html`<${Elapsed} since=${each.assigned_at} /> so far`), number: true },
];

/** @param {{ job: JobDetail }} props */
function Attempts({ job }) {
  const { assignment, history, history_total } = job;
  const present = assignment && !assignment.completed_at && assignment.status !== "pending" ? [presently(assignment)] : [];
  const rows = [...present, ...[...history].reverse()];
  return html`<${Section} title="Attempts" aside=${history_total > history.length ? html`<span class="hint">the latest ${history.length} of ${history_total}</span>` : null}>
    ${rows.length ? html`<${Table} caption="Attempts, the latest first" columns=${ATTEMPTS} rows=${rows} rowKey=${(/** @type {Shown} */ each) => each.crawler_job_id} />`
      : html`<${Empty} title=${isOver(job.status) ? "None." : "None yet."} />`}
  <//>`;
}

/** @param {Assignment} assignment @returns {Shown} */
function presently(assignment) {
  return { ...assignment, ended_at: null, outcome: assignment.status, cause: null, reason: null };
}

/** @param {{ job: JobDetail }} props */
function Errors({ job }) {
  const { errors, errors_total } = job;
  return html`<${Section} title="Errors" aside=${errors_total > errors.length ? html`<span class="hint">the latest ${errors.length} of ${errors_total}</span>` : null}>
    ${errors.length === 0 ? html`<${Empty} title="None." />` : [...errors].reverse().map((error) => html`<${ErrorRow} key=${error.id} error=${error} />`)}
  <//>`;
}

/** @param {{ error: JobError }} props */
function ErrorRow({ error }) {
  const { error_type, error_message, timestamp, cause, fingerprint, resolution, is_recoverable } = error;
  return html`<details><summary><strong>${error_type ?? "Error"}</strong> <bdi>${error_message}</bdi> <span class="hint"><${Time} at=${timestamp} /></span></summary>
    <${Facts} rows=${[["Cause", cause], ["Recoverable", is_recoverable ? "yes" : "no"], ["What follows", resolution],
      ["Group", fingerprint ? html`<a href=${pathOf("/errors", fingerprint)}>${fingerprint}</a>` : null]]} />
    <${ErrorMore} error=${error} />
  </details>`;
}
