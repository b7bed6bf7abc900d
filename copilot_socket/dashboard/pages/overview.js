// @ts-check
/** The overview: what needs a person first, then how things go. All of it comes with live events, but for the history. */

import { useMemo } from "/dashboard/vendor/hooks.js";
import { jobsAt } from "../core/addresses.js";
import { ADVICE } from "../core/attention.js";
import { queueUntil, series } from "../core/history.js";
import { STATES } from "../core/jobs.js";
import { bytes, compact, count, counted } from "../core/numbers.js";
import { covered } from "../core/pauses.js";
import { duration } from "../core/times.js";
import { ActButton } from "../ui/acts.js";
import { can, client, now } from "../ui/api.js";
import { Badge, Elapsed, Empty, Facts, Loaded, PageHead, Problem, Ref, Section, Sentence, Time } from "../ui/bits.js";
import { BUDGETS, NoBudgets, budgetKey } from "../ui/budget_acts.js";
import { Chart } from "../ui/charts.js";
import { useData } from "../ui/data.js";
import { html } from "../ui/html.js";
import { connection, model } from "../ui/live.js";
import { endPauseAct, pauseAct } from "../ui/pause_acts.js";
import { renewAct } from "../ui/account_acts.js";
import { quarantineAct, releaseAct } from "../ui/crawler_acts.js";
import { change, usePlace } from "../ui/router.js";
import { useStore } from "../ui/store.js";
import { Table } from "../ui/table.js";

/** @import { Attention, Budget, HeldLane, History, Node, Overview as State, Pause } from "../../web/types.d.ts" */
/** @import { Act } from "../ui/acts.js" */
/** @import { Column } from "../ui/table.js" */

export function Overview() {
  const { counts, queue, overview } = useStore(model);
  const { state, error } = useStore(connection);
  const everything = overview?.pauses.find(({ scope }) => scope === "everything");
  return html`
    <${PageHead} title="Overview">
      ${everything ? html`<${ActButton} act=${endPauseAct(everything)} label="Resume everything" kind="strong" />` : html`<${ActButton} act=${pauseAct(undefined, { scope: "everything" })} label="Pause everything" />`}
    <//>
    ${state === "refused" ? html`<${Problem} error=${error} />` : null}
    ${counts === null ? html`<p class="loading" role="status">Loading…</p>` : html`
      <${NeedsAPerson} overview=${overview} />
      <${Section} title="Queue"><ul class="tiles">
        ${STATES.map((status) => html`<li key=${status}><a href=${jobsAt({ status })}><b>${compact(counts[status] ?? 0)}</b><${Badge} value=${status} /></a></li>`)}
      </ul>
      ${queue ? html`<${Facts} rows=${[
        ["Due now", count(queue.ready)], ["Held back", count(queue.held_back)], ["Scheduled for later", count(queue.scheduled)],
        ["Waiting the longest", queue.ready > queue.unroutable ? duration(queue.oldest_seconds) : "–"], ["Due without a crawler", count(queue.unroutable)],
      ]} />` : null}<//>`}
    <${Charts} />
    ${overview ? html`<div class="columns"><${Budgets} budgets=${overview.budgets} /><${Database} overview=${overview} /></div><${Nodes} nodes=${overview.nodes} here=${overview.node_id} />` : null}`;
}

/** @param {{ overview: State | null }} props */
function NeedsAPerson({ overview }) {
  if (!overview) return null;
  return html`<${Section} title="Needs a person">
    ${overview.attention.length === 0 ? html`<p><${Badge} value="nothing" kind="completed" /> <span class="hint">Everything that can go on by itself does.</span></p>` : null}
    <ul class="plain">${overview.attention.map((item, at) => html`<li key=${`${item.kind} ${at}`}><${Item} item=${item} overview=${overview} /></li>`)}</ul>
  <//>`;
}

/** What helps at once, by kind, given a name. @type {Partial<Record<Attention["kind"], (name: string) => Act>>} */
const ACTS = {
  credential_expired: (id) => renewAct({ id }),
  credential_expiring: (id) => renewAct({ id }),
  crawler_failing: (id) => quarantineAct(id),
  crawler_quarantined: (id) => releaseAct(id),
};
/** Buttons of an item. */
const MOST = 3;

/** @param {{ item: Attention, overview: State }} props */
function Item({ item, overview }) {
  const { kind, severity, text, since, names, lanes } = item;
  const { to, label, named, hint } = ADVICE[kind] ?? {};
  const actOn = ACTS[kind];
  const ended = overview.pauses.filter((pause) => (lanes ? holds(pause, lanes) : kind === "path_paused" && pause.scope === "path_prefix" && names.includes(`${pause.target}`)));
  // A node is known by where it ran.
  const called = (/** @type {string} */ name) => {
    const node = kind === "node_gone" && overview.nodes.find(({ id }) => id === name);
    return node ? `${node.host}, process ${node.pid}` : name;
  };
  return html`<div class="notice is-${severity === "urgent" ? "failed" : "warning"}">
    <span><strong><${Sentence} text=${text} /></strong>${since ? html` <span class="hint">began <${Time} at=${since} /></span>` : null}
      ${names.length && !lanes ? html`<br /><span>${names.map((name, at) => html`${at ? (named ? ", " : "; ") : ""}${named ? html`<a href=${named(name)}>${name}</a>` : called(name)}`)}</span>` : null}
      ${hint ? html` <span class="hint">${hint}</span>` : null}
      ${kind.startsWith("credential_") && !can("app") ? html` <span class="hint">Renewing takes the role app.</span>` : null}
    </span>
    <span class="acts">
      ${actOn ? names.slice(0, MOST).map((name) => {
        const act = actOn(name);
        return html`<${ActButton} key=${name} small act=${act} label=${`${act.verb} ${name}`} />`;
      }) : null}
      ${ended.slice(0, MOST).map((pause) => html`<${ActButton} key=${pause.id} small act=${endPauseAct(pause)} label=${`End the pause of ${covered(pause)}`} />`)}
      ${to ? html`<a href=${to}>${label}</a>` : null}
    </span>
    ${lanes ? html`<details><summary>${counted(lanes.length, "lane")}: what holds each back</summary><${Table} caption="Lanes that are held back" columns=${LANES} rows=${lanes}
      rowKey=${(/** @type {HeldLane} */ lane) => `${lane.account_id} ${lane.command}`} /></details>` : null}
  </div>`;
}

/** Whether a pause is among what holds some of the lanes back. @param {Pause} pause @param {HeldLane[]} lanes */
function holds({ scope, target }, lanes) {
  return lanes.some(({ account_id, command, why }) => scope === "everything" || target === (scope === "command" ? command : account_id) || (scope === "host" && why.includes(`${target}`)));
}

/** @type {Column<HeldLane>[]} */
const LANES = [
  { label: "Account", cell: (lane) => html`<${Ref} to="/accounts" id=${lane.account_id} />` },
  { label: "Command", cell: (lane) => lane.command },
  { label: "Queued", cell: (lane) => html`<a href=${jobsAt({ account_id: lane.account_id, command: lane.command, status: "queued" })}>${count(lane.queued)}</a>`, number: true },
  { label: "Why", cell: (lane) => html`<${Sentence} text=${lane.why} />` },
];

/** @type {[string, string, "minute" | "hour" | "day", number][]} Value of the address, label, resolution, and seconds of the period. */
const PERIODS = [["hour", "Hour", "minute", 3600], ["day", "Day", "hour", 86_400], ["90d", "90 days", "day", 90 * 86_400]];

function Charts() {
  const { query } = usePlace();
  const [period, , resolution, seconds] = PERIODS.find(([value]) => value === query.get("period")) ?? PERIODS[0];
  const read = useData(period, async (options) => {
    const minute = Math.floor(now() / 60_000) * 60_000; // the same for all viewers
    const since = new Date(minute - seconds * 1000).toISOString();
    return client.statsHistory({ resolution, since }, options);
  }, { every: resolution === "minute" ? 60_000 : 600_000 });
  return html`<${Section} title="History" aside=${html`<div class="acts" role="group" aria-label="Period">
      ${PERIODS.map(([value, label]) => html`<button type="button" class="small" aria-pressed=${value === period} onClick=${() => change({ period: value === "hour" ? null : value })}>${label}</button>`)}</div>`}>
    <${Loaded} read=${read}>${(/** @type {History} */ history) => html`<${Drawn} history=${history} seconds=${seconds} />`}<//>
  <//>`;
}

/** @param {{ history: History, seconds: number }} props */
function Drawn({ history, seconds }) {
  const drawn = useMemo(() => series(history, now() / 1000 - seconds), [history, seconds]);
  const { counts } = useStore(model);
  const queue = useMemo(() => queueUntil(drawn, counts, now() / 1000), [drawn, counts]);
  if (drawn.times.length === 0) return html`<${Empty} title="Nothing is recorded for this period yet.">A node records each minute while it runs.<//>`;
  return html`<div class="charts">
    <${Chart} title=${`Jobs per ${history.resolution}`} times=${drawn.times} series=${[
      { label: "completed", color: "good", values: drawn.completed }, { label: "failed", color: "bad", values: drawn.failed }, { label: "new", color: "violet", values: drawn.created }]} />
    <${Chart} title="Queue" times=${queue.times} series=${[
      { label: "queued", color: "violet", values: queue.queued }, { label: "running", color: "info", values: queue.running }, { label: "waiting", color: "warn", values: queue.waiting }]} />
    <${Chart} title="From due to sent" times=${drawn.times} format=${duration} series=${[
      { label: "half within", color: "info", values: drawn.dispatchMedian }, { label: "95 % within", color: "warn", values: drawn.dispatch95 }]} />
    <${Chart} title="From assigned to over" times=${drawn.times} format=${duration} series=${[
      { label: "half within", color: "info", values: drawn.runMedian }, { label: "95 % within", color: "warn", values: drawn.run95 }]} />
  </div>`;
}

/** @param {{ budgets: Budget[] }} props */
function Budgets({ budgets }) {
  return html`<${Section} title="Budgets">
    ${budgets.length === 0 ? html`<${NoBudgets} />`
      : html`<${Table} caption="What is left of GitLab's budgets" columns=${BUDGETS} rows=${budgets} rowKey=${budgetKey} />`}
  <//>`;
}

/** @type {Column<Node>[]} */
const NODES = [
  { label: "Node", cell: (node) => html`${node.host} <span class="hint">process ${node.pid}</span>` },
  { label: "State", cell: (node) => html`<span><${Badge} value=${node.live ? "live" : "gone"} />${node.live ? null : html` <span class="hint"><${Time} at=${node.lease_expires_at} /></span>`}</span>` },
  { label: "Up", cell: (node) => (node.live ? html`<${Elapsed} since=${node.started_at} />` : "–") },
  { label: "Crawlers", cell: (node) => count(node.crawlers), number: true },
  { label: "Jobs", cell: (node) => count(node.assignments), number: true },
  { label: "Connections", cell: (node) => count(node.connections), number: true },
];

/** @param {{ nodes: Node[], here: string }} props */
function Nodes({ nodes, here }) {
  const columns = [...NODES, { label: "Id", cell: (/** @type {Node} */ node) => html`<code>${node.id}</code>${node.id === here ? html` <span class="hint">this one</span>` : null}` }];
  return html`<${Section} title="Nodes"><${Table} caption="Nodes" columns=${columns} rows=${nodes} rowKey=${(/** @type {Node} */ node) => node.id} /><//>`;
}

/** @param {{ overview: State }} props */
function Database({ overview: { database, version } }) {
  const { pool } = database;
  return html`<${Section} title="Database"><${Facts} rows=${[
    ["State", html`<${Badge} value=${database.connected ? "connected" : "away"} kind=${database.connected ? "completed" : "failed"} />`],
    ["PostgreSQL", `${database.version ?? "unknown"}${database.embedded ? ", embedded" : ""}`],
    ["Size", database.size_bytes === null ? "–" : bytes(database.size_bytes)],
    ["Answers in", database.latency_seconds === null ? "–" : duration(database.latency_seconds)],
    ["Connections in use", `${pool.in_use} of ${pool.size}${pool.waiting ? `, ${pool.waiting} waiting` : ""}`],
    ["copilot-socket", version],
  ]} /><p class="hint"><a href="/settings">Settings of the node</a></p><//>`;
}
