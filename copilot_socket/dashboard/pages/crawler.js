// @ts-check
/** One crawler: what it is, what it holds, and how its attempts ended. */

import { address, pathOf } from "../core/addresses.js";
import { subject } from "../core/jobs.js";
import { count, percent, sum } from "../core/numbers.js";
import { ActButton } from "../ui/acts.js";
import { can, client } from "../ui/api.js";
import { Copyable, Elapsed, Empty, Facts, Loaded, PageHead, Progress, Ref, Section, Time } from "../ui/bits.js";
import { crawlerActs } from "../ui/crawler_acts.js";
import { EVERY, Mode, Presence, Recent, useHeartbeats } from "../ui/crawlers.js";
import { useData } from "../ui/data.js";
import { html } from "../ui/html.js";
import { model, useStream } from "../ui/live.js";
import { useStore } from "../ui/store.js";
import { Table } from "../ui/table.js";

/** @import { Crawler as State, HeldJob, RecentEnds } from "../../web/types.d.ts" */
/** @import { Column } from "../ui/table.js" */

/** @param {{ id: string }} props */
export function Crawler({ id }) {
  const read = useData(id, (options) => client.crawlers.get(id, {}, options), { on: ["connection"], every: EVERY });
  const present = useHeartbeats();
  useStream({ types: "job", crawler: id }, (events) => {
    const jobs = events.flatMap(({ type, data }) => (type === "job" ? [data] : []));
    const progress = new Map(jobs.filter((event) => event.event === "job_progress").map((event) => [event.id, event]));
    if (progress.size) read.patch((crawler) => ({ ...crawler, assignments: crawler.assignments?.map((job) => afterProgress(job, progress.get(job.job_id))) }));
    if (jobs.some(({ event }) => event !== "job_progress")) read.reloadSoon();
  });
  const { data, reload } = read;
  return html`
    <${PageHead} title=${id}>${data ? crawlerActs(data, reload).map((act) => html`<${ActButton} key=${act.verb} act=${act} />`) : null}<//>
    <${Loaded} read=${read}>${(/** @type {State} */ crawler) => html`<${Shown} crawler=${present(crawler)} />`}<//>`;
}

/** @param {HeldJob} job @param {import("../../web/types.d.ts").JobEvent | undefined} event */
function afterProgress(job, event) {
  return event ? { ...job, progress: { ...job.progress, ...event.progress }, reported_at: event.timestamp } : job;
}

/** @param {{ crawler: State }} props */
function Shown({ crawler }) {
  const node = useStore(model, ({ overview }) => overview?.nodes.find(({ id }) => id === crawler.node_id));
  const { id, active_jobs, assignments = [] } = crawler;
  const held = assignments.length;
  return html`
    <${Section} title="Crawler" aside=${can("operate") ? html`<a href=${address("/audit", { target: id })}>Audit rows about it</a>` : null}>
      <${Facts} rows=${[
        ["State", html`<${Presence} crawler=${crawler} />`],
        ["Mode", html`<${Mode} crawler=${crawler} />`],
        ["Last message", html`<${Time} at=${crawler.last_heartbeat} />`],
        ["Reported status", crawler.system_status],
        ["Holds", `${count(active_jobs.length)} of ${count(crawler.max_jobs)}`],
        ["In the last hour", html`<${Recent} crawler=${crawler} />`],
        ["Version", crawler.version],
        ["Connections", count(crawler.connections)],
        ["Node", html`${node ? `${node.host}, process ${node.pid} ` : ""}<code>${crawler.node_id}</code>`],
        ["Its id belongs to", crawler.owner ?? (crawler.plain ? "nobody: it is plain" : null)],
        ["First connected", html`<${Time} at=${crawler.first_seen} />`],
        ["Takes", crawler.entity_types.join(", ")],
        ["Key", html`<${Copyable} text=${crawler.key} label="Copy the key" />`],
      ]} />
    <//>
    <${Section} title="Holds" aside=${active_jobs.length > held ? html`<span class="hint">the ${held} that it has held for longest, of ${active_jobs.length}</span>` : null}>
      ${held ? html`<${Table} caption="What it holds, longest first" columns=${HELD} rows=${assignments} rowKey=${(/** @type {HeldJob} */ job) => job.crawler_job_id} />`
        : html`<${Empty} title="Nothing.">${idle(crawler)}<//>`}
    <//>
    <${Ends} recent=${crawler.recent} />`;
}

/** Why it may hold nothing. @param {State} crawler */
function idle({ connected, mode }) {
  if (!connected) return "It is not connected; what it held has gone to others, or will when its grace is over.";
  if (mode !== "serving") return "It is given no work until it is released.";
  return html`It is given the next job that is due and that it takes: <a href="/jobs?status=queued">queued jobs</a>.`;
}

/** @type {Column<HeldJob>[]} */
const HELD = [
  { label: "Job", cell: (job) => html`<a href=${pathOf("/jobs", job.job_id)}>${subject(job)}</a>` },
  { label: "Account", cell: (job) => html`<${Ref} to="/accounts" id=${job.account_id} />` },
  { label: "Progress", cell: (job) => html`<${Progress} progress=${job.progress} />` },
  { label: "Held for", cell: (job) => html`<${Elapsed} since=${job.assigned_at} />`, kind: "short" },
  { label: "Started", cell: (job) => html`<${Time} at=${job.started_at} none="not yet" />`, kind: "short" },
  { label: "Last report", cell: (job) => html`<${Time} at=${job.reported_at} none="none yet" />`, kind: "short" },
];

/** @param {{ recent: RecentEnds }} props */
function Ends({ recent }) {
  const rows = Object.entries(recent.ended).sort(([, one], [, other]) => other - one);
  const all = sum(recent.ended);
  const columns = [
    { label: "Cause", cell: (/** @type {[string, number]} */ [cause]) => cause },
    { label: "Attempts", cell: (/** @type {[string, number]} */ [, number]) => count(number), number: true },
    { label: "Share", cell: (/** @type {[string, number]} */ [, number]) => percent(number / all), number: true },
  ];
  return html`<${Section} title="Attempts that ended in the last hour" aside=${recent.failed ? html`<a href=${address("/errors", { period: "hour" })}>Errors of the last hour, of all crawlers</a>` : null}>
    ${rows.length ? html`<${Table} caption="Attempts of the last hour by the cause of their end" columns=${columns} rows=${rows}
        rowKey=${(/** @type {[string, number]} */ [cause]) => cause} />`
      : html`<${Empty} title="None." />`}
  <//>`;
}
