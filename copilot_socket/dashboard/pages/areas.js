// @ts-check
/** Areas: the groups and projects that discoveries have found, and what is known of their jobs. */

import { shortUrl } from "../core/accounts.js";
import { address, jobsAt, picked } from "../core/addresses.js";
import { areaName, latestFirst } from "../core/areas.js";
import { bounded, counted, total } from "../core/numbers.js";
import { ActButton } from "../ui/acts.js";
import { client, isLimited, scoped, session } from "../ui/api.js";
import { OneArea } from "../ui/area.js";
import { Empty, Facts, JobCounts, Loaded, PageHead, Section, Time } from "../ui/bits.js";
import { useData } from "../ui/data.js";
import { ChoiceFilter, Filters, TextFilter } from "../ui/filters.js";
import { html } from "../ui/html.js";
import { submitAct } from "../ui/job_acts.js";
import { usePlace } from "../ui/router.js";
import { List } from "../ui/table.js";

/** @import { Area, AreaList, AreaStats } from "../../web/types.d.ts" */
/** @import { Column } from "../ui/table.js" */

const CONDITIONS = ["search", "path_prefix", "type", "account_id", "gitlab_origin"];
const EVERY = 60_000;
/** Commands that are seen without a further click. */
const SEEN = 3;

export function Areas() {
  const { query } = usePlace();
  const area = query.get("area");
  return area && !isLimited() ? html`<${OneArea} name=${area} />` : html`<${All} />`;
}

function All() {
  const { query } = usePlace();
  const given = picked(query, [...CONDITIONS, "order", "limit", "cursor"]);
  const filter = { ...scoped(given), order: undefined, limit: undefined, cursor: undefined };
  const asked = /** @type {any} */ ({ ...scoped(given), include: "counts,commands" });
  const accounts = session.value?.accounts;
  const read = useData(address("", asked), (options) => client.areas.list(asked, options), { every: EVERY });
  const totals = useData(address("", filter), (options) => client.areas.list({ ...filter, limit: 1, total: true }, options));
  const found = totals.data?.total === undefined ? "" : counted(totals.data.total, "area", "areas", totals.data.total_exact);
  return html`
    <${PageHead} title="Areas"><${ActButton} act=${submitAct(read.reload, { command: "GROUP_PROJECT_DISCOVERY" })} label="Discover" /><//>
    ${isLimited() ? null : html`<${Statistics} />`}
    <${Filters} label="Filter of areas" names=${CONDITIONS}>
      <${TextFilter} name="search" label="Search" hint="part of a path or name" />
      <${TextFilter} name="path_prefix" label="Below" hint="a group or project, with all below it" />
      <${ChoiceFilter} name="type" label="Type" any="either" choices=${["group", "project"]} />
      ${accounts ? html`<${ChoiceFilter} name="account_id" label="Account" any="" choices=${accounts} />` : html`<${TextFilter} name="account_id" label="Account" hint="that may see them" />`}
      <${TextFilter} name="gitlab_origin" label="GitLab" hint="https://gitlab.example.org" />
    <//>
    <${Loaded} read=${read}>${(/** @type {AreaList} */ { areas, next }) => html`
      <${List} caption="Areas" columns=${columnsOf(query)} rows=${areas} rowKey=${areaName}
        empty=${html`<${Nothing} given=${given} />`} next=${next} found=${found} />`}<//>`;
}

/** @param {URLSearchParams} query @returns {Column<Area>[]} */
function columnsOf(query) {
  const opened = (/** @type {Area} */ area) => {
    const to = new URLSearchParams(query);
    to.set("area", areaName(area));
    return address("/areas", to);
  };
  return [
    { label: "Area", order: "full_path", cell: (area) => html`<span>${isLimited() ? area.full_path : html`<a href=${opened(area)}>${area.full_path}</a>`}
      <br /><span class="hint">${[area.name, area.type].join(" · ")}</span></span>` },
    { label: "GitLab", cell: ({ gitlab_origin }) => shortUrl(gitlab_origin) },
    { label: "Accounts", cell: ({ accounts }) => (accounts === undefined ? "–" : bounded(accounts)), number: true },
    { label: "Jobs", cell: ({ jobs, full_path }) => html`<${JobCounts} counts=${jobs ?? {}} filter=${{ full_path }} shown=${bounded} />` },
    { label: "Last completed", cell: (area) => html`<${Completed} area=${area} />` },
    { label: "Discovered", order: "created_at", cell: ({ created_at }) => html`<${Time} at=${created_at} />`, kind: "short" },
  ];
}

/** When each command last completed. @param {{ area: Area }} props */
function Completed({ area: { full_path, last_completed = {} } }) {
  const all = latestFirst(last_completed);
  if (all.length === 0) return html`<span class="faint">nothing yet</span>`;
  const [seen, others] = [all.slice(0, SEEN), all.slice(SEEN)];
  const row = (/** @type {[string, string]} */ [command, at]) => html`<li key=${command}>
    <a href=${jobsAt({ full_path, command })}>${command}</a> <span class="hint short"><${Time} at=${at} /></span></li>`;
  return html`<div><ul class="plain">${seen.map(row)}</ul>
    ${others.length ? html`<details><summary>${others.length} more</summary><ul class="plain">${others.map(row)}</ul></details>` : null}</div>`;
}

function Statistics() {
  const read = useData("stats", (options) => client.areas.stats({}, options), { every: EVERY });
  return html`<${Section} title="Statistics"><${Loaded} read=${read}>${(/** @type {AreaStats} */ { areas, found, discoveries }) => html`
    <${Facts} rows=${[
      ...areas.map((each) => [`${each.type === "group" ? "Groups" : "Projects"} of ${shortUrl(each.gitlab_origin)}`, total(each.total, each.total_exact)]),
      ...found.map((each) => [each.days === 1 ? "Found in the last day" : `Found in the last ${each.days} days`, total(each.total, each.total_exact)]),
      ["Discoveries", html`<${JobCounts} counts=${discoveries.jobs} filter=${{ command: "GROUP_PROJECT_DISCOVERY" }} shown=${bounded} />`],
      ["A discovery last completed", html`<${Time} at=${discoveries.last_completed_at} none="never, as far as the jobs that are kept show" />`],
    ]} />`}<//><//>`;
}

/** @param {{ given: Record<string, string> }} props */
function Nothing({ given }) {
  if (CONDITIONS.some((name) => given[name])) {
    return html`<${Empty} title="No area matches.">Remove a condition, or discover again: an account may have been given access since.<//>`;
  }
  return html`<${Empty} title="No area has been found yet." command="copilot-socket jobs submit ACCOUNT GROUP_PROJECT_DISCOVERY">
    A discovery finds the groups and projects that an account may see:<//>`;
}
