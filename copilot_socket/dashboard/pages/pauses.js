// @ts-check
/** What holds jobs back: pauses, limits and holds of hosts, and GitLab's budgets. */

import { originOf, shortUrl } from "../core/accounts.js";
import { address } from "../core/addresses.js";
import { count } from "../core/numbers.js";
import { ActButton } from "../ui/acts.js";
import { can, client } from "../ui/api.js";
import { Badge, Empty, Loaded, PageHead, Ref, Section, Since, Time, useNow } from "../ui/bits.js";
import { budgetColumns, budgetKey, setBudgetAct } from "../ui/budget_acts.js";
import { useData } from "../ui/data.js";
import { html } from "../ui/html.js";
import { jobsAt } from "../ui/job_acts.js";
import { covered, endPauseAct, pauseAct } from "../ui/pause_acts.js";
import { usePlace } from "../ui/router.js";
import { Pager, Table } from "../ui/table.js";

/** @import { BudgetList, Host, HostList, LiveEvent, Options, Pause, PauseList } from "../../web/types.d.ts" */
/** @import { Act } from "../ui/acts.js" */
/** @import { Column } from "../ui/table.js" */

export function Pauses() {
  return html`<${PausesInForce} /><${Hosts} /><${Budgets} />`;
}

/**
 * A list with pages of its own.
 *
 * @template T
 * @param {string} cursor The parameter of the address.
 * @param {(query: { limit?: number, cursor?: string }, options: Options) => Promise<T>} list
 * @param {LiveEvent["type"][]} on
 */
function useList(cursor, list, on) {
  const { query } = usePlace();
  const given = { ...(query.get("limit") ? { limit: Number(query.get("limit")) } : {}), ...(query.get(cursor) ? { cursor: /** @type {string} */ (query.get(cursor)) } : {}) };
  return { read: useData(cursor + JSON.stringify(given), (options) => list(given, options), { on }), first: !given.cursor };
}

/** The columns of those who may do something, or of the others. @template T @param {Column<T>[]} columns @returns {Column<T>[]} */
function actable(columns) {
  return can("operate") ? columns : columns.slice(0, -1);
}

/** Pages, where there are several. @param {{ next: string | null, shown: number, cursor: string, first: boolean }} props */
function Pages({ first, ...others }) {
  return first && !others.next ? null : html`<${Pager} ...${others} />`;
}

function PausesInForce() {
  const { read, first } = useList("cursor", client.pauses.list, ["pause"]);
  /** @type {Column<Pause>[]} */
  const columns = [
    { label: "What", cell: (pause) => html`<${Covered} pause=${pause} />` },
    { label: "Reason", cell: ({ reason }) => reason ?? "–" },
    { label: "By", cell: ({ author }) => author },
    { label: "Since", cell: ({ created_at }) => html`<${Time} at=${created_at} />`, kind: "short" },
    { label: "Until", cell: ({ ends_at }) => html`<${Time} at=${ends_at} none="somebody ends it" />`, kind: "short" },
    { label: "Actions", cell: (pause) => html`<${ActButton} small act=${endPauseAct(pause, read.reload)} />`, kind: "short" },
  ];
  return html`<${PageHead} title="Pauses"><${ActButton} act=${pauseAct(read.reload)} kind="strong" /><//>
    <${Section} title="Pauses in force"><${Loaded} read=${read}>${(/** @type {PauseList} */ { pauses, next }) => html`
      ${pauses.length === 0 ? html`<${Empty} title=${first ? "Nothing is paused." : "No more pauses."} command="copilot-socket pauses add everything --reason REASON --for 2h">
          Pause an account, a host, a command or what is below a path here, or with the command line:<//>`
        : html`<${Table} caption="Pauses in force, the oldest first" columns=${actable(columns)} rows=${pauses} rowKey=${(/** @type {Pause} */ { id }) => id} />`}
      <${Pages} next=${next} shown=${pauses.length} cursor="cursor" first=${first} />`}<//><//>`;
}

/** What a pause covers, with where to see it. @param {{ pause: Pause }} props */
function Covered({ pause }) {
  const { scope, target } = pause;
  const text = covered(pause);
  if (scope === "account") return html`<${Ref} to="/accounts" id=${target}>${text}<//>`;
  if (scope === "command") return html`<a href=${jobsAt({ command: target })}>${text}</a>`;
  if (scope === "path_prefix") return html`<a href=${jobsAt({ path_prefix: target })}>${text}</a>`;
  if (scope === "host") return html`<a href=${address("/accounts", { gitlab_origin: target })}>${text}</a>`;
  return html`<strong>${text}</strong>`;
}

function Hosts() {
  const { read, first } = useList("hosts", client.hosts.list, ["host", "pause"]);
  /** @type {Column<Host>[]} */
  const columns = [
    { label: "GitLab", cell: ({ origin }) => shortUrl(origin) },
    { label: "Accounts", cell: ({ origin, accounts }) => html`<a href=${address("/accounts", { gitlab_origin: origin })}>${count(accounts)}</a>`, number: true },
    { label: "Running jobs at most", cell: ({ max_running }) => (max_running === null ? "any number" : count(max_running)), number: true },
    { label: "State", cell: (host) => html`<${State} host=${host} />` },
    { label: "Last success", cell: ({ last_success_at }) => html`<${Time} at=${last_success_at} none="none yet" />`, kind: "short" },
    {
      label: "Actions", kind: "short",
      cell: ({ origin, max_running }) => html`<span class="acts"><${ActButton} small act=${limitAct(origin, max_running, read.reload)} />
        <${ActButton} small act=${pauseAct(read.reload, { scope: "host", target: origin })} /></span>`,
    },
  ];
  return html`<${Section} title="Hosts"><${Loaded} read=${read}>${(/** @type {HostList} */ { hosts, next }) => html`
      ${hosts.length === 0 ? html`<${Empty} title=${first ? "There are no GitLab hosts yet." : "No more hosts."}>A host is there as soon as an account is.<//>`
        : html`<${Table} caption="GitLab hosts" columns=${actable(columns)} rows=${hosts} rowKey=${(/** @type {Host} */ { origin }) => origin} />`}
      <${Pages} next=${next} shown=${hosts.length} cursor="hosts" first=${first} />`}<//><//>`;
}

/** @param {{ host: Host }} props */
function State({ host: { held_since, next_probe_at } }) {
  const now = useNow();
  if (held_since === null) return html`<${Badge} value="available" kind="valid" />`;
  return html`<span><${Badge} value="held" /> <span class="hint"><${Since} at=${held_since} />, as it is unavailable; the next job is sent to try it${next_probe_at !== null && Date.parse(next_probe_at) > now ? html` <${Time} at=${next_probe_at} />` : null}</span></span>`;
}

/** @param {string} origin @param {number | null} present @param {() => void} after @returns {Act} */
function limitAct(origin, present, after) {
  return {
    verb: "Limit", title: `Limit the running jobs of ${shortUrl(origin)}`, needs: "operate",
    effect: "Jobs that run go on, also where there are more than a new limit allows.",
    fields: [{ name: "max_running", label: "Running jobs at most", kind: "number", min: 1, max: 100_000, value: present === null ? "" : String(present), hint: "Empty: any number." }],
    run: ({ max_running }) => client.hosts.change(originOf(origin), { max_running }),
    done: ({ max_running, waiting_for_nodes }) => {
      const most = max_running === null ? "Any number" : `At most ${count(max_running)}`;
      return `${most} of its jobs may run at a time${waiting_for_nodes.length ? "; some nodes do not act on that yet" : ""}`;
    },
    action: "host.change", target: origin, after,
  };
}

function Budgets() {
  const { read, first } = useList("budgets", client.budgets.list, ["budget"]);
  return html`<${Section} title="Budgets" aside=${html`<${ActButton} act=${setBudgetAct(read.reload)} label="Set a budget" />`}>
    <${Loaded} read=${read}>${(/** @type {BudgetList} */ { budgets, next }) => html`
      ${budgets.length === 0 ? html`<${Empty} title=${first ? "GitLab has said nothing of its limits." : "No more budgets."}>Crawlers report what GitLab answers; no budget holds anything back.<//>`
        : html`<${Table} caption="What is left of GitLab's budgets" columns=${budgetColumns(read.reload)} rows=${budgets} rowKey=${budgetKey} />`}
      <${Pages} next=${next} shown=${budgets.length} cursor="budgets" first=${first} />`}<//><//>`;
}
