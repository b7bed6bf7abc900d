// @ts-check
/** The audit log: who changed what, and who was refused. */

import { address, picked } from "../core/addresses.js";
import { AUDITED, targetAt } from "../core/audit.js";
import { count } from "../core/numbers.js";
import { client } from "../ui/api.js";
import { Badge, Empty, Json, Loaded, PageHead, Time } from "../ui/bits.js";
import { useData } from "../ui/data.js";
import { ChoiceFilter, Filters, TextFilter } from "../ui/filters.js";
import { html } from "../ui/html.js";
import { usePlace } from "../ui/router.js";
import { List } from "../ui/table.js";

/** @import { AuditEntry, AuditEntryList } from "../../web/types.d.ts" */
/** @import { Column } from "../ui/table.js" */

const CONDITIONS = ["actor", "door", "action", "target", "outcome", "after", "before"];
/** @type {[string, string][]} */
const DOORS = [["http", "HTTP API"], ["cli", "command line"], ["wire", "crawlers' side"]];

/** @type {Column<AuditEntry>[]} */
const COLUMNS = [
  { label: "When", cell: (row) => html`<${When} row=${row} />`, kind: "short" },
  { label: "Who", cell: ({ actor }) => html`<a href=${address("/audit", { actor })}>${actor}</a>`, kind: "long" },
  { label: "What", cell: ({ action }) => action },
  { label: "On what", cell: (row) => html`<${Target} row=${row} />`, kind: "long" },
  { label: "Outcome", cell: ({ outcome }) => html`<${Badge} value=${outcome} />`, kind: "short" },
  { label: "Count", cell: (row) => count(row.count), number: true },
  { label: "From", cell: ({ door, address: from }) => html`<span>${DOORS.find(([value]) => value === door)?.[1] ?? "another program"}${from ? html` <span class="hint">${from}</span>` : null}</span>` },
  { label: "Details", cell: (row) => html`<${Details} row=${row} />` },
];

/** @param {{ row: AuditEntry }} props */
function When({ row: { timestamp, last_at } }) {
  return html`<span><${Time} at=${timestamp} />${last_at === timestamp ? null : html` <span class="hint">to <${Time} at=${last_at} /></span>`}</span>`;
}

/** @param {{ row: AuditEntry }} props */
function Target({ row }) {
  const at = targetAt(row);
  if (row.target === null) return html`<span class="faint">–</span>`;
  return at ? html`<a href=${at}>${row.target}</a>` : row.target;
}

/** @param {{ row: AuditEntry }} props */
function Details({ row: { id, action, details, truncated } }) {
  if (truncated.length) return html`<span class="hint">too large to be shown</span>`;
  if (details === null || Object.keys(details).length === 0) return html`<span class="faint">–</span>`;
  return html`<details class="row-details"><summary aria-label=${`${Object.keys(details).join(", ")}: details of row ${id}, ${action}`}>${Object.keys(details).join(", ")}</summary><${Json} value=${details} /></details>`;
}

export function Audit() {
  const { query } = usePlace();
  const given = picked(query, [...CONDITIONS, "limit", "cursor"]);
  // No event tells of rows.
  const read = useData(address("", given), (options) => client.audit.list(/** @type {any} */ (given), options), { every: given.cursor ? undefined : 30_000 });
  return html`
    <${PageHead} title="Audit log" />
    <${Filters} label="Filter of the audit log" names=${CONDITIONS}>
      <${TextFilter} name="actor" label="Who" hint="token:grafana" />
      <${ActionFilter} />
      <${TextFilter} name="target" label="On what" hint="an id, a host, a name" />
      <${ChoiceFilter} name="outcome" label="Outcome" choices=${["done", "refused"]} />
      <${ChoiceFilter} name="door" label="From" choices=${DOORS} />
      <${TextFilter} name="after" label="Since" kind="time" />
      <${TextFilter} name="before" label="Before" kind="time" />
    <//>
    <${Loaded} read=${read}>${(/** @type {AuditEntryList} */ { audit, next }) => html`
      <${List} caption="Audit log, the latest first" columns=${COLUMNS} rows=${audit} rowKey=${(/** @type {AuditEntry} */ { id }) => String(id)}
        empty=${html`<${Nothing} filtered=${CONDITIONS.some((name) => given[name])} />`} next=${next} />`}<//>`;
}

function ActionFilter() {
  return html`<${TextFilter} name="action" label="What" hint="job.cancel" list="audited" />
    <datalist id="audited">${AUDITED.map((each) => html`<option key=${each} value=${each}></option>`)}</datalist>`;
}

/** @param {{ filtered: boolean }} props */
function Nothing({ filtered }) {
  if (filtered) return html`<${Empty} title="No row matches.">Remove a condition. Rows are kept for a year, unless COPILOT_AUDIT_AGE says otherwise.<//>`;
  return html`<${Empty} title="Nothing has been changed yet." />`;
}
