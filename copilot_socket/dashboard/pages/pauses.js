// @ts-check
/** What holds jobs back: pauses, limits and holds of hosts, and GitLab's budgets. */

import { shortUrl } from "../core/accounts.js";
import { address, picked } from "../core/addresses.js";
import { count } from "../core/numbers.js";
import { covered, coveredAt } from "../core/pauses.js";
import { ActButton } from "../ui/acts.js";
import { can, client } from "../ui/api.js";
import { Badge, Empty, Loaded, PageHead, Section, Since, Time, useNow } from "../ui/bits.js";
import { NoBudgets, budgetColumns, budgetKey, setBudgetAct } from "../ui/budget_acts.js";
import { useData } from "../ui/data.js";
import { html } from "../ui/html.js";
import { endPauseAct, pauseAct } from "../ui/pause_acts.js";
import { usePlace } from "../ui/router.js";
import { List } from "../ui/table.js";

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
  const { limit, [cursor]: from } = picked(query, ["limit", cursor]);
  return useData(address(cursor, { limit, from }), (options) => list(/** @type {any} */ ({ limit, cursor: from }), options), { on });
}

/** The columns of those who may do something, or of the others. @template T @param {Column<T>[]} columns @returns {Column<T>[]} */
function actable(columns) {
  return can("operate") ? columns : columns.slice(0, -1);
}

function PausesInForce() {
  const read = useList("cursor", client.pauses.list, ["pause"]);
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
      <${List} caption="Pauses in force, the oldest first" columns=${actable(columns)} rows=${pauses} rowKey=${(/** @type {Pause} */ { id }) => id} optional next=${next}
        empty=${html`<${Empty} title="Nothing is paused." command="copilot-socket pauses add everything --reason REASON --for 2h">
          Pause an account, a host, a command or what is below a path here, or with the command line:<//>`} />`}<//><//>`;
}

/** What a pause covers, with where to see it. @param {{ pause: Pause }} props */
function Covered({ pause }) {
  const at = coveredAt(pause.scope, pause.target);
  return at ? html`<a href=${at}>${covered(pause)}</a>` : html`<strong>${covered(pause)}</strong>`;
}

function Hosts() {
  const read = useList("hosts", client.hosts.list, ["host", "pause"]);
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
      <${List} caption="GitLab hosts" columns=${actable(columns)} rows=${hosts} rowKey=${(/** @type {Host} */ { origin }) => origin} optional next=${next} cursor="hosts"
        empty=${html`<${Empty} title="There are no GitLab hosts yet.">A host is listed with its first account.<//>`} />`}<//><//>`;
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
    run: ({ max_running }) => client.hosts.change(origin, { max_running }),
    done: ({ max_running, waiting_for_nodes }) => {
      const most = max_running === null ? "Any number" : `At most ${count(max_running)}`;
      return `${most} of its jobs may run at a time${waiting_for_nodes.length ? "; some nodes do not act on that yet" : ""}`;
    },
    action: "host.change", target: origin, after,
  };
}

function Budgets() {
  const read = useList("budgets", client.budgets.list, ["budget"]);
  return html`<${Section} title="Budgets" aside=${html`<${ActButton} act=${setBudgetAct(read.reload)} label="Set a budget" />`}>
    <${Loaded} read=${read}>${(/** @type {BudgetList} */ { budgets, next }) => html`
      <${List} caption="What is left of GitLab's budgets" columns=${budgetColumns(read.reload)} rows=${budgets} rowKey=${budgetKey} optional next=${next} cursor="budgets"
        empty=${html`<${NoBudgets} />`} />`}<//><//>`;
}
