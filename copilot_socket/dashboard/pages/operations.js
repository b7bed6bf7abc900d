// @ts-check
/** Operations on many jobs: what was started, and how far it is. */

import { address, pathOf, picked } from "../core/addresses.js";
import { count } from "../core/numbers.js";
import { actionOf, jobsOf, progressOf } from "../core/operations.js";
import { client } from "../ui/api.js";
import { Badge, Empty, Loaded, PageHead, Time } from "../ui/bits.js";
import { useData } from "../ui/data.js";
import { ChoiceFilter, Filters } from "../ui/filters.js";
import { html } from "../ui/html.js";
import { usePlace } from "../ui/router.js";
import { List } from "../ui/table.js";

/** @import { BulkOperation, BulkOperationList } from "../../web/types.d.ts" */
/** @import { Column } from "../ui/table.js" */

/** @type {Column<BulkOperation>[]} */
const COLUMNS = [
  { label: "Operation", cell: (each) => html`<a href=${pathOf("/operations", each.id)}>${actionOf(each)}</a>`, kind: "short" },
  { label: "Jobs", cell: jobsOf },
  { label: "State", cell: ({ status, error }) => html`<span><${Badge} value=${status} />${error ? html` <span class="hint">${error}</span>` : null}</span>` },
  { label: "Changed", cell: (each) => html`<${Changed} operation=${each} />`, number: true },
  { label: "Left alone", cell: ({ skipped_total }) => count(skipped_total), number: true },
  { label: "By", cell: ({ created_by }) => created_by, kind: "long" },
  { label: "Started", cell: ({ created_at }) => html`<${Time} at=${created_at} />`, kind: "short" },
  { label: "Ended", cell: ({ finished_at }) => html`<${Time} at=${finished_at} />`, kind: "short" },
];

/** @param {{ operation: BulkOperation }} props */
function Changed({ operation }) {
  const { changed, of } = progressOf(operation);
  return of ? `${changed} of ${of}` : changed;
}

export function Operations() {
  const { query } = usePlace();
  const given = picked(query, ["status", "limit", "cursor"]);
  // No event tells of operations.
  const read = useData(address("", given), (options) => client.operations.list(/** @type {any} */ (given), options), { every: 15_000 });
  return html`
    <${PageHead} title="Operations" />
    <${Filters} label="Filter of operations" names=${["status"]}><${ChoiceFilter} name="status" label="State" choices=${["running", "done", "aborted", "failed"]} /><//>
    <${Loaded} read=${read}>${(/** @type {BulkOperationList} */ { operations, next }) => html`
      <${List} caption="Operations, the latest first" columns=${COLUMNS} rows=${operations} rowKey=${(/** @type {BulkOperation} */ { id }) => id}
        empty=${html`<${Nothing} filtered=${Boolean(given.status)} />`} next=${next} />`}<//>`;
}

/** @param {{ filtered: boolean }} props */
function Nothing({ filtered }) {
  if (filtered) return html`<${Empty} title="No operation is in this state." />`;
  return html`<${Empty} title="There have been no operations yet." command="copilot-socket jobs retry --filter status=failed">
    Find <a href="/jobs">jobs</a>, choose them, and act on all of them at once; or on the command line, which asks first:<//>`;
}
