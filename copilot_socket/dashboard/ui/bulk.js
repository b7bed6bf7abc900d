// @ts-check
/** An operation on many jobs: its preview, its progress, and its result. */

import { useEffect, useState } from "/dashboard/vendor/hooks.js";
import { ApiError } from "/client.js";
import { pathOf } from "../core/addresses.js";
import { ACTIONS } from "../core/jobs.js";
import { count, counted } from "../core/numbers.js";
import { progressOf } from "../core/operations.js";
import { AuditLink, auditRow, tell } from "./acts.js";
import { can, client, inWords } from "./api.js";
import { Badge, Problem } from "./bits.js";
import { Dialog } from "./dialog.js";
import { html } from "./html.js";
import { Store, useStore } from "./store.js";

/** @import { Action, AuditEntry, BulkOperation, BulkPreview, JobFilterBody } from "../../web/types.d.ts" */

/**
 * @typedef {object} Bulk
 * @property {Action} action
 * @property {{ ids: string[] } | { filter: JobFilterBody }} jobs
 * @property {string} words Which jobs these are.
 * @property {() => void} [after]
 */

/** @type {Store<Bulk | null>} */
const asked = new Store(/** @type {Bulk | null} */ (null));

/** Show what an operation would do, and start it once that is confirmed. @param {Bulk} bulk */
export function startBulk(bulk) {
  asked.set(bulk);
}

/** The session has ended. */
export function forgetBulk() {
  asked.set(null);
}

/** The dialog of operations: once a page. */
export function BulkDialog() {
  const bulk = useStore(asked);
  return bulk && html`<${Ask} bulk=${bulk} />`;
}

/** @param {{ bulk: Bulk }} props */
function Ask({ bulk }) {
  const { label, effect, asks, undo } = /** @type {import("../core/jobs.js").JobAction} */ (ACTIONS.find((each) => each.action === bulk.action));
  const [preview, setPreview] = useState(/** @type {BulkPreview | null} */ (null));
  const [operation, setOperation] = useState(/** @type {BulkOperation | null} */ (null));
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const [busy, setBusy] = useState(false);
  const close = () => {
    asked.set(null);
    if (operation) bulk.after?.(); // who goes back keeps what was chosen
  };
  const look = () => {
    setError(null);
    client.jobs.bulk({ action: bulk.action, ...bulk.jobs, dry_run: true }).then(setPreview, setError);
  };
  useEffect(look, []);

  // Who closes the dialog meanwhile is told what has come of it, too.
  const start = async () => {
    setBusy(true);
    setError(null);
    const title = `${label} ${bulk.words}`;
    try {
      const began = await client.jobs.bulk({ action: bulk.action, ...bulk.jobs });
      setOperation(began);
      if (asked.value !== bulk) tell({ state: "done", text: `${title}: started.`, more: html`<a href=${pathOf("/operations", began.id)}>Operation ${began.id}</a>` });
    } catch (thrown) {
      setError(thrown);
      setBusy(false);
      if (asked.value !== bulk) tell({ state: "failed", text: `${title}: ${inWords(thrown)}` });
    }
  };
  const jobs = preview && counted(preview.expected, "job", "jobs", preview.expected_exact);
  return html`<${Dialog} title=${`${label} ${bulk.words}`} onClose=${close}>
    ${operation ? html`<${Running} began=${operation} after=${bulk.after} />` : html`
      <p>This ${effect}.</p>
      ${preview ? html`<p>This changes <strong>${jobs}</strong>${preview.states ? html`: ${Object.entries(preview.states).filter(([, number]) => number > 0).map(([state, number]) => html`<${Badge} value=${state} /> ${count(number)} `)}` : "."}</p>`
        : !error && html`<p class="loading" role="status">Counting…</p>`}
      ${preview?.expected === 0 ? html`<p>None of them is in a state that allows it: nothing would change.</p>` : null}
      ${asks ? html`<p><strong>${undo ? `To undo this, use ${undo}.` : "This can't be undone."}</strong></p>` : null}`}
    <${Problem} error=${error} retry=${preview ? start : look} />
    <div class="dialog-acts">
      <button type="button" onClick=${close}>${operation ? "Close" : "Back"}</button>
      ${operation ? null : html`<button type="button" class=${asks ? "danger strong" : "strong"} disabled=${busy || !preview || preview.expected === 0} onClick=${start}>${label} ${jobs ?? ""}</button>`}
    </div>
  <//>`;
}

/** An operation that has just begun. @param {{ began: BulkOperation, after?: () => void }} props *after*: shows the page anew, once it has ended. */
export function Running({ began, after }) {
  const { operation, error } = useOperation(began.id, began);
  const over = operation !== null && operation.status !== "running";
  useEffect(() => {
    if (over) after?.();
  }, [over]);
  const [audit, setAudit] = useState(/** @type {AuditEntry | null} */ (null));
  useEffect(() => void auditRow("operation.start", began.id).then(setAudit), []);
  return html`<${OperationProgress} operation=${operation ?? began} />
    <${Problem} error=${error} />
    <p>${(operation ?? began).status === "running" ? "It goes on if this is closed: " : "More: "}<a href=${pathOf("/operations", began.id)}>operation ${began.id}</a>${audit ? html`, <${AuditLink} audit=${audit} />` : null}</p>`;
}

/**
 * An operation, read each second until it has ended.
 *
 * @param {string} id
 * @param {BulkOperation | null} [first]
 */
export function useOperation(id, first = null) {
  const [operation, setOperation] = useState(first);
  const [error, setError] = useState(/** @type {unknown} */ (null));
  useEffect(() => {
    const aborting = new AbortController();
    void (async () => {
      while (!aborting.signal.aborted) {
        try {
          for await (const each of client.operations.wait(id, { signal: aborting.signal })) {
            setOperation(each);
            setError(null);
          }
          return;
        } catch (thrown) {
          if (aborting.signal.aborted) return;
          setError(thrown);
          if (thrown instanceof ApiError && thrown.status < 500 && thrown.status !== 429) return;
          // It goes on at the nodes: look again.
          await new Promise((resolve) => setTimeout(resolve, 3_000));
        }
      }
    })();
    return () => aborting.abort();
  }, [id]);
  return { operation, error };
}

/** @type {Record<string, string>} */
const SKIPPED = {
  twin: "another job for the same is live", moved: "the account is at another GitLab now",
  state: "in another state by then", gone: "deleted by then",
};

/** @param {{ operation: BulkOperation }} props */
export function OperationProgress({ operation }) {
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const { status, skipped_total, changed, skipped } = operation;
  const progress = progressOf(operation);
  const abort = () => void client.operations.abort(operation.id).catch(setError);
  return html`<div class="operation">
    <p role="status"><${Badge} value=${status} /> ${progress.changed} changed${progress.of ? ` of ${progress.of}` : ""}${skipped_total ? `, ${count(skipped_total)} left alone` : ""}</p>
    <progress value=${progress.share} max="1" aria-label="Progress of the operation"></progress>
    ${operation.error ? html`<p class="failed">${operation.error}</p>` : null}
    <ul class="plain">
      ${Object.entries(changed).map(([state, number]) => html`<li>${count(number)} ${number === 1 ? "was" : "were"} <${Badge} value=${state} /></li>`)}
      ${Object.entries(skipped).map(([why, number]) => html`<li>${count(number)} left alone: ${SKIPPED[why] ?? why}</li>`)}
    </ul>
    ${status === "running" && can("operate") ? html`<button type="button" class="danger" onClick=${abort}>Abort</button> <span class="hint">What it has changed stays so.</span>` : null}
    ${error ? html`<p class="failed">${inWords(error)}</p>` : null}
  </div>`;
}
