// @ts-check
/** Crawlers that are connected, or were within the last day. */

import { address, pathOf, picked } from "../core/addresses.js";
import { counted } from "../core/numbers.js";
import { subject } from "../core/jobs.js";
import { ActButton } from "../ui/acts.js";
import { client } from "../ui/api.js";
import { Elapsed, Empty, Loaded, PageHead, Ref, Time } from "../ui/bits.js";
import { crawlerActs } from "../ui/crawler_acts.js";
import { EVERY, Mode, Presence, Recent, useHeartbeats } from "../ui/crawlers.js";
import { useData } from "../ui/data.js";
import { ChoiceFilter, Filters } from "../ui/filters.js";
import { html } from "../ui/html.js";
import { usePlace } from "../ui/router.js";
import { List } from "../ui/table.js";

/** @import { Crawler, CrawlerList, HeldJob } from "../../web/types.d.ts" */
/** @import { Column } from "../ui/table.js" */

const CONDITIONS = ["connected", "mode", "stale"];
/** Jobs that are seen without a further click. */
const SEEN = 3;

export function Crawlers() {
  const { query } = usePlace();
  const given = picked(query, [...CONDITIONS, "limit", "cursor"]);
  const asked = /** @type {any} */ ({ ...given, include: "assignments", total: true });
  const read = useData(address("", given), (options) => client.crawlers.list(asked, options), { on: ["connection"], every: EVERY });
  const present = useHeartbeats();
  const columns = columnsOf(read.reload);
  return html`
    <${PageHead} title="Crawlers" />
    <${Filters} label="Filter of crawlers" names=${CONDITIONS}>
      <${ChoiceFilter} name="connected" label="Connected" any="either" choices=${[["true", "connected"], ["false", "not connected"]]} />
      <${ChoiceFilter} name="mode" label="Mode" choices=${["serving", "draining", "quarantined"]} />
      <${ChoiceFilter} name="stale" label="Silent" any="either" choices=${[["true", "silent"], ["false", "not silent"]]} />
    <//>
    <${Loaded} read=${read}>${(/** @type {CrawlerList} */ { crawlers, next, total, total_exact }) => html`
      <${List} caption="Crawlers" columns=${columns} rows=${crawlers.map(present)} rowKey=${(/** @type {Crawler} */ each) => each.key}
        empty=${html`<${Nothing} given=${given} />`} next=${next} found=${total ? counted(total, "crawler", "crawlers", total_exact) : ""} />`}<//>`;
}

/** @param {() => void} after @returns {Column<Crawler>[]} */
function columnsOf(after) {
  return [
    { label: "State", cell: (crawler) => html`<${Presence} crawler=${crawler} />` },
    { label: "Crawler", cell: ({ id, version, plain }) => html`<span><${Ref} to="/crawlers" id=${id} />
      <br /><span class="hint short">${plain ? "plain" : version ? `version ${version}` : "no version"}</span></span>` },
    { label: "Mode", cell: (crawler) => html`<${Mode} crawler=${crawler} />`, kind: "short" },
    { label: "Holds", cell: (crawler) => html`<${Held} crawler=${crawler} />` },
    { label: "Last message", kind: "short", cell: ({ last_heartbeat, system_status }) => html`<span><${Time} at=${last_heartbeat} />
      ${system_status ? html`<br /><span class="hint">${system_status}</span>` : null}</span>` },
    { label: "In the last hour", cell: (crawler) => html`<${Recent} crawler=${crawler} />` },
    { label: "Actions", cell: (crawler) => html`<div class="acts">
      ${crawlerActs(crawler, after).map((act) => html`<${ActButton} key=${act.verb} small act=${act} />`)}</div>` },
  ];
}

/** What a crawler holds, longest first. @param {{ crawler: Crawler }} props */
function Held({ crawler: { id, active_jobs, max_jobs, assignments = [] } }) {
  const [seen, others] = [assignments.slice(0, SEEN), assignments.slice(SEEN)];
  const rest = active_jobs.length - assignments.length;
  return html`<div><span>${active_jobs.length} of ${max_jobs}</span>
    <ul class="plain">${seen.map((job) => html`<${Holding} key=${job.crawler_job_id} job=${job} />`)}</ul>
    ${others.length ? html`<details><summary>${others.length + Math.max(0, rest)} more</summary>
      <ul class="plain">${others.map((job) => html`<${Holding} key=${job.crawler_job_id} job=${job} />`)}</ul>
      ${rest > 0 ? html`<a href=${pathOf("/crawlers", id)}>and ${rest} more</a>` : null}</details>` : null}
  </div>`;
}

/** @param {{ job: HeldJob }} props */
function Holding({ job }) {
  return html`<li><a href=${pathOf("/jobs", job.job_id)}>${subject(job)}</a> <span class="hint short">for <${Elapsed} since=${job.assigned_at} /></span></li>`;
}

/** @param {{ given: Record<string, string> }} props */
function Nothing({ given }) {
  const filtered = CONDITIONS.some((name) => given[name]);
  if (filtered) return html`<${Empty} title="No crawler matches.">Remove a condition. Crawlers are listed for a day after they have left.<//>`;
  return html`<${Empty} title="No crawler has connected within the last day." command="python gitlab_crawler.py SOCKET DIRECTORY">
    Start one: <code>docs/gitlab-crawler.md</code> has a complete program, and <code>docs/client.md</code> says how to write your own.
    SOCKET is the node's, as its log says when it starts:<//>`;
}
