// @ts-check
/** Jobs: found by a filter, chosen, acted on. */

import { useEffect, useState } from "/dashboard/vendor/hooks.js";
import { address, picked } from "../core/addresses.js";
import { filterIn, inWords, mayMatch, toBody } from "../core/filters.js";
import { afterEvent, actionsFor, STATES, subject } from "../core/jobs.js";
import { count, counted } from "../core/numbers.js";
import { ActButton } from "../ui/acts.js";
import { can, client, isPartial } from "../ui/api.js";
import { Badge, Empty, JobLink, Loaded, PageHead, Progress, Ref, Time } from "../ui/bits.js";
import { startBulk } from "../ui/bulk.js";
import { useData } from "../ui/data.js";
import { html } from "../ui/html.js";
import { FilterBar, SavedFilters } from "../ui/job_filter.js";
import { submitAct } from "../ui/job_acts.js";
import { useStream } from "../ui/live.js";
import { usePlace } from "../ui/router.js";
import { List } from "../ui/table.js";

/** @import { Job, JobEvent, JobList } from "../../web/types.d.ts" */
/** @import { Column } from "../ui/table.js" */

/** @type {Column<Job>[]} */
const COLUMNS = [
  { label: "State", cell: (job) => html`<${Badge} value=${job.status} />` },
  { label: "Job", cell: (job) => html`<${JobLink} job=${job} />`, order: "full_path", kind: "long subject" },
  { label: "Account", cell: (job) => html`<${Ref} to="/accounts" id=${job.account_id} />` },
  { label: "Progress", cell: (job) => html`<${Progress} progress=${job.progress} />` },
  { label: "Failures", cell: (job) => `${job.failures} of ${job.max_attempts}`, number: true },
  { label: "Last cause", cell: (job) => (job.error ? html`<${Ref} to="/errors" id=${job.error}>${job.cause ?? "error"}<//>` : job.cause ?? "–") },
  { label: "Submitted", cell: (job) => html`<${Time} at=${job.created_at} />`, order: "created_at", kind: "short" },
  { label: "Changed", cell: (job) => html`<${Time} at=${job.updated_at} />`, order: "updated_at", kind: "short" },
];

export function Jobs() {
  const { query } = usePlace();
  const filter = filterIn(query);
  const paging = picked(query, ["order", "limit", "cursor"]);
  const key = address("", { ...filter, ...paging });
  const read = useData(key, (options) => client.jobs.list(/** @type {any} */ ({ ...filter, ...paging, include: "progress" }), options), { every: isPartial(filter) ? 15_000 : undefined });
  const totals = useData(JSON.stringify(filter), (options) => client.jobs.list(/** @type {any} */ ({ ...filter, limit: 1, total: true }), options));
  const reload = () => {
    read.reload();
    totals.reload();
  };
  const fresh = useLive(read, filter, reload);
  const [chosen, setChosen] = useState(/** @type {Set<string>} */ (new Set()));
  const [all, chooseAll] = useState(false);
  const choose = (/** @type {Set<string>} */ rows) => {
    setChosen(rows);
    chooseAll(false);
  };
  const clear = () => choose(new Set());
  useEffect(clear, [key]);

  const again = () => {
    clear();
    reload();
  };
  const found = totals.data?.total === undefined ? null : counted(totals.data.total, "job", "jobs", totals.data.total_exact);
  return html`
    <${PageHead} title="Jobs"><${SavedFilters} /><${ActButton} act=${submitAct(again)} kind="strong" /><//>
    <${FilterBar} filter=${filter} />
    ${fresh > 0 ? html`<p role="status"><button type="button" onClick=${again}>Show ${counted(fresh, "new job")}</button></p>` : null}
    <${Loaded} read=${read}>${(/** @type {JobList} */ { jobs, next }) => html`
      <${List} caption="Jobs" columns=${COLUMNS} rows=${jobs} rowKey=${(/** @type {Job} */ job) => job.id} name=${subject}
        selection=${can("operate") ? { chosen, choose } : undefined}
        empty=${html`<${Nothing} filter=${filter} />`} next=${next} found=${found} />
      <${Selected} jobs=${jobs} chosen=${chosen} all=${all} chooseAll=${chooseAll} clear=${clear} filter=${filter} found=${found}
        many=${totals.data?.total ?? 0} after=${again} />`}<//>`;
}

/**
 * Let events change the rows that are shown; returns how many jobs are new.
 *
 * @param {import("../ui/data.js").Read<JobList>} read
 * @param {Record<string, string>} filter
 * @param {() => void} again
 */
function useLive(read, filter, again) {
  const [fresh, setFresh] = useState(0);
  const { data } = read;
  useEffect(() => setFresh(0), [data?.jobs[0]?.id, data?.next, JSON.stringify(filter)]);
  const { account_id, user_id } = filter;
  useStream({ types: "job", account_id, user_id }, (events) => {
    let created = 0;
    /** @type {Map<string, JobEvent[]>} */
    const changes = new Map();
    for (const { type, data: event } of events) {
      if (type !== "job") continue;
      if (event.event === "created") created += mayMatch(filter, event) ? 1 : 0;
      else changes.set(event.id, [...(changes.get(event.id) ?? []), event]);
    }
    if (created) setFresh((number) => number + created);
    // Of jobs that are not shown, too: they may be in the answer to a read that is under way.
    read.patch((before) => (!before.jobs.some(({ id }) => changes.has(id)) ? before : {
      ...before,
      jobs: before.jobs.flatMap((job) => {
        /** @type {Job | null} */
        let after = job;
        for (const event of changes.get(job.id) ?? []) after = after && afterEvent(after, event);
        return after ? [after] : [];
      }),
    }));
  }, again);
  return fresh;
}

/** @param {{ filter: Record<string, string> }} props */
function Nothing({ filter }) {
  if (Object.keys(filter).length) return html`<${Empty} title="No job matches.">Remove a condition: ${inWords(filter).join(", ")}.<//>`;
  return html`<${Empty} title="There are no jobs yet." command="copilot-socket jobs submit ACCOUNT GROUP_PROJECT_DISCOVERY">
    Submit one here, over the API, or with the command line; a discovery finds what there is to crawl:<//>`;
}

/** @param {{ jobs: Job[], chosen: Set<string>, all: boolean, chooseAll: (all: boolean) => void, clear: () => void, filter: Record<string, string>,
 *   found: string | null, many: number, after: () => void }} props */
function Selected({ jobs, chosen, all, chooseAll, clear, filter, found, many, after }) {
  if (chosen.size === 0 || !can("operate")) return null;
  const wanted = (filter.status?.split(",") ?? STATES);
  const states = all ? /** @type {any} */ (wanted) : jobs.filter(({ id }) => chosen.has(id)).map(({ status }) => status);
  const conditions = inWords(filter);
  const words = all ? `all jobs that match${conditions.length ? ` (${conditions.join(", ")})` : ""}` : counted(chosen.size, "chosen job");
  const which = all ? { filter: toBody(filter) } : { ids: [...chosen] };
  return html`<div class="selection" role="region" aria-label="Chosen jobs">
    <strong role="status">${all ? `All ${found} that match` : `${count(chosen.size)} chosen`}</strong>
    ${!all && many > chosen.size && jobs.every(({ id }) => chosen.has(id)) ? html`<button type="button" onClick=${() => chooseAll(true)}>Choose all ${found} that match</button>` : null}
    ${actionsFor(states).map(({ action, label, asks }) => html`<button type="button" class=${asks ? "danger" : ""} onClick=${() => startBulk({ action, jobs: which, words, after })}>${label}…</button>`)}
    <button type="button" class="quiet" onClick=${clear}>Clear</button>
  </div>`;
}
