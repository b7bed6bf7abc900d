// @ts-check
/** One area: its jobs by command, when each was last completed, and who may see it. */

import { useEffect, useRef } from "/dashboard/vendor/hooks.js";
import { address, jobsAt } from "../core/addresses.js";
import { areaName, areaOf } from "../core/areas.js";
import { bounded, count } from "../core/numbers.js";
import { ActButton } from "./acts.js";
import { client } from "./api.js";
import { recrawlAct } from "./area_acts.js";
import { Empty, Facts, JobCounts, Loaded, PageHead, Problem, Ref, Section, Time } from "./bits.js";
import { useData } from "./data.js";
import { html } from "./html.js";
import { usePlace } from "./router.js";
import { Table } from "./table.js";

/** @import { AreaDetail } from "../../web/types.d.ts" */

const EVERY = 15_000;

/** @param {{ name: string }} props */
export function OneArea({ name }) {
  const { query } = usePlace();
  const area = areaOf(name);
  const read = useData(area && name, (options) => client.areas.get(area?.gitlab_origin ?? "", area?.full_path ?? "", {}, options), { every: EVERY });
  const head = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    window.scrollTo(0, 0);
    head.current?.querySelector("h1")?.focus();
  }, [name]);
  const list = new URLSearchParams(query);
  list.delete("area");
  return html`
    <div ref=${head}><${PageHead} title=${area?.full_path ?? "No such area"}>
      ${read.data?.account_ids.length ? html`<${ActButton} act=${recrawlAct(read.data, read.reload)} kind="strong" />` : null}
      <a href=${address("/areas", list)}>All areas</a>
    <//></div>
    ${area ? html`<${Loaded} read=${read}>${(/** @type {AreaDetail} */ found) => html`<${Shown} area=${found} />`}<//>`
      : html`<${Problem} error=${new Error("An area is named by the URL that it has at its GitLab, as https://gitlab.example.org/acme/shop")} />`}`;
}

/** @param {{ area: AreaDetail }} props */
function Shown({ area }) {
  const { full_path, account_ids, accounts = account_ids.length, jobs_by_command, last_completed = {} } = area;
  const commands = [...new Set([...Object.keys(jobs_by_command), ...Object.keys(last_completed)])].sort();
  const columns = [
    { label: "Command", cell: (/** @type {string} */ command) => html`<a href=${jobsAt({ full_path, command })}>${command}</a>` },
    { label: "Jobs", cell: (/** @type {string} */ command) => html`<${JobCounts} counts=${jobs_by_command[command] ?? {}} filter=${{ full_path, command }} shown=${bounded} />` },
    { label: "Last completed", cell: (/** @type {string} */ command) => html`<${Time} at=${last_completed[command]} none="never, as far as the jobs that are kept show" />`, kind: "short" },
  ];
  return html`
    <${Section} title="Area">
      <${Facts} rows=${[
        ["Name", area.name],
        ["Type", area.type],
        ["At its GitLab", html`<a href=${areaName(area)} target="_blank" rel="noreferrer">${areaName(area)}</a>`],
        ["Id there", area.gitlab_id === null ? null : String(area.gitlab_id)],
        ["Discovered", html`<${Time} at=${area.created_at} />`],
        ["Its jobs", html`<a href=${jobsAt({ full_path })}>all</a>, <a href=${jobsAt({ path_prefix: full_path })}>with those below it</a>`],
      ]} />
    <//>
    <${Section} title="Jobs by command">
      ${commands.length ? html`<${Table} caption="Jobs of the area by command" columns=${columns} rows=${commands} rowKey=${(/** @type {string} */ command) => command} />`
        : html`<${Empty} title="It has never been crawled, as far as the jobs that are kept show.">Recrawl it to submit its first jobs.<//>`}
    <//>
    <${Section} title="Accounts that may see it" aside=${accounts > account_ids.length ? html`<span class="hint">the first ${count(account_ids.length)} of ${bounded(accounts)}</span>` : null}>
      ${account_ids.length ? html`<p>${account_ids.map((id, at) => html`${at ? ", " : ""}<${Ref} to="/accounts" id=${id} />`)}</p>`
        : html`<${Empty} title="No account may see it now.">An account that may see it is listed after its next discovery.<//>`}
    <//>`;
}
