// @ts-check
/** One operation: how far it is, which jobs it is about, and what has become of them. */

import { address, jobsAt } from "../core/addresses.js";
import { ACTIONS } from "../core/jobs.js";
import { actionOf, filterOf, jobsOf } from "../core/operations.js";
import { can } from "../ui/api.js";
import { Copyable, Facts, PageHead, Problem, Section, Time } from "../ui/bits.js";
import { OperationProgress, useOperation } from "../ui/bulk.js";
import { html } from "../ui/html.js";

/** @import { BulkOperation } from "../../web/types.d.ts" */

/** @param {{ id: string }} props */
export function Operation({ id }) {
  const { operation, error } = useOperation(id);
  return html`${operation ? null : html`<${PageHead} title="Operation" />`}<${Problem} error=${error} />
    ${operation ? html`<${Shown} operation=${operation} />` : !error && html`<p class="loading" role="status">Loading…</p>`}`;
}

/** @param {{ operation: BulkOperation }} props */
function Shown({ operation }) {
  const { id, created_at, created_by, updated_at, finished_at, node_id, action } = operation;
  const filter = filterOf(operation);
  const effect = ACTIONS.find((each) => each.action === action)?.effect;
  return html`<${PageHead} title=${`${actionOf(operation)} ${filter ? `jobs (${jobsOf(operation)})` : jobsOf(operation)}`} />
    <${Section} title="Progress">${effect ? html`<p class="hint">This ${effect}.</p>` : null}<${OperationProgress} operation=${operation} /><//>
    <${Section} title="Operation"><${Facts} rows=${[
      ["Id", html`<${Copyable} text=${id} label="Copy the id" />`],
      ["Jobs", filter ? html`${jobsOf(operation)}<br /><a href=${jobsAt(filter)}>The jobs that meet this now</a>` : jobsOf(operation)],
      ["Started", html`<${Time} at=${created_at} /> by ${created_by}`],
      ["Last step", html`<${Time} at=${updated_at} />`],
      ["Ended", html`<${Time} at=${finished_at} none="not yet" />`],
      ["Node", node_id ? html`<code>${node_id}</code>` : "none yet"],
      ["Audit log", can("operate") ? html`<a href=${address("/audit", { target: id })}>its rows</a>` : undefined],
    ]} /><//>`;
}
