// @ts-check
/** Groups of errors: which occur, how often, and what they have failed. */

import { address, jobsAt, pathOf, picked } from "../core/addresses.js";
import { GROUP_STATES, PERIODS, filled, sinceOf } from "../core/errors.js";
import { COMMANDS } from "../core/jobs.js";
import { bounded, compact, count, counted } from "../core/numbers.js";
import { ActButton } from "../ui/acts.js";
import { client, now } from "../ui/api.js";
import { Badge, Empty, Loaded, PageHead, Time } from "../ui/bits.js";
import { Sparkline } from "../ui/charts.js";
import { useData } from "../ui/data.js";
import { errorActs } from "../ui/error_acts.js";
import { ChoiceFilter, Filters, TextFilter } from "../ui/filters.js";
import { html } from "../ui/html.js";
import { usePlace } from "../ui/router.js";
import { List } from "../ui/table.js";

/** @import { ErrorGroupList } from "../../web/types.d.ts" */
/** @import { Column } from "../ui/table.js" */

/** @typedef {ErrorGroupList["errors"][number]} Group */

const CONDITIONS = ["status", "command", "error_type", "account_id", "period"];
/** Failures are told one by one, with the jobs; groups are read again after so many milliseconds. */
const EVERY = 30_000;

export function Errors() {
  const { query } = usePlace();
  const given = picked(query, [...CONDITIONS, "limit", "cursor"]);
  const { period, ...filter } = given;
  // Of more rows the server adds no histories.
  const include = Number(filter.limit ?? 100) <= 100 ? "history" : undefined;
  const key = address("", given);
  const read = useData(key, (options) => {
    const since = sinceOf(period, now());
    return client.errors.list(/** @type {any} */ ({ ...filter, since, include }), options);
  }, { every: EVERY });
  const within = picked(query, ["period", "account_id"]);
  const columns = columnsOf(within, include !== undefined, read.reload);
  return html`
    <${PageHead} title="Errors" />
    <${Filters} label="Filter of errors" names=${CONDITIONS}>
      <${ChoiceFilter} name="status" label="State" any="all but ignored" choices=${[...GROUP_STATES, [GROUP_STATES.join(","), "all"]]} />
      <${ChoiceFilter} name="period" label="Occurred within" any="all that is kept" choices=${PERIODS.map(([value, label]) => [value, label])} />
      <${ChoiceFilter} name="command" label="Command" choices=${COMMANDS} />
      <${TextFilter} name="account_id" label="Account" />
      <${TextFilter} name="error_type" label="Type" hint="exactly, as TypeError" />
    <//>
    <${Loaded} read=${read}>${(/** @type {ErrorGroupList} */ { errors, next }) => html`
      <${List} caption="Groups of errors, those that occurred last first" columns=${columns} rows=${errors}
        rowKey=${(/** @type {Group} */ group) => group.fingerprint}
        empty=${html`<${Nothing} given=${given} />`} next=${next} found=${errors.length ? counted(errors.length, "group") + (next || given.cursor ? " on this page" : "") : ""} />`}<//>`;
}

/** @param {Record<string, string>} within What is counted. @param {boolean} histories @param {() => void} after @returns {Column<Group>[]} */
function columnsOf(within, histories, after) {
  const columns = /** @type {(Column<Group> | null)[]} */ ([
    { label: "State", cell: ({ status }) => html`<${Badge} value=${status} />`, kind: "short" },
    { label: "Error", cell: ({ fingerprint, text, error_type, command }) => html`<span>
      <a href=${address(pathOf("/errors", fingerprint), within)}>${text || "Without a message"}</a>
      <br /><span class="hint">${[error_type, command].filter(Boolean).join(" · ")}</span></span>` },
    { label: "Errors", cell: ({ errors }) => count(errors), number: true },
    histories ? { label: "Over time", cell: (group) => html`<${Past} group=${group} period=${within.period} />` } : null,
    { label: "Accounts", cell: ({ accounts }) => count(accounts), number: true },
    { label: "Jobs failed", number: true, cell: ({ fingerprint, jobs_failed }) =>
      (jobs_failed ? html`<a href=${jobsAt({ error: fingerprint, status: "failed" })}>${bounded(jobs_failed)}</a>` : "0") },
    { label: "First", cell: ({ first_at }) => html`<${Time} at=${first_at} />`, kind: "short" },
    { label: "Last", cell: ({ last_at }) => html`<${Time} at=${last_at} />`, kind: "short" },
    { label: "Actions", cell: (group) => html`<div class="acts">
      ${errorActs(group, after).map((act) => html`<${ActButton} key=${act.verb} small act=${act} />`)}</div>` },
  ]);
  return columns.filter((each) => each !== null);
}

/** @param {{ group: Group, period?: string }} props */
function Past({ group: { history = [], history_unit: unit = "hour" }, period }) {
  const { values } = filled(history, unit, now(), sinceOf(period, now()), 100);
  const most = Math.max(...values);
  return html`<${Sparkline} values=${values} label=${`The last ${values.length} ${unit}s: ${compact(most)} errors in one of them at most`} />`;
}

/** @param {{ given: Record<string, string> }} props */
function Nothing({ given }) {
  if (CONDITIONS.some((name) => given[name])) {
    return html`<${Empty} title="No group of errors matches.">Remove a condition. Errors are deleted after <code>SOCKET_MAX_ERROR_LOG_AGE</code>.<//>`;
  }
  return html`<${Empty} title="No crawler has reported an error.">
    Ignored groups are not among these: see <a href="/errors?status=ignored">ignored ones</a>.<//>`;
}
