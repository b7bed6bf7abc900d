// @ts-check
/**
 * Acts: whatever changes something goes through here. An act says what it will do, is confirmed where it can't be undone, and
 * shows its result with its row of the audit log. A failure leaves the page as it is.
 */

import { useRef, useState } from "/dashboard/vendor/hooks.js";
import { fromInput } from "../core/times.js";
import { address } from "../core/addresses.js";
import { can, client, inWords, session } from "./api.js";
import { Problem } from "./bits.js";
import { Dialog } from "./dialog.js";
import { html } from "./html.js";
import { Icon } from "./icons.js";
import { Store, useStore } from "./store.js";

/** @import { AuditEntry } from "../../web/types.d.ts" */
/** @import { Role } from "./api.js" */
/** @import { Children } from "./html.js" */

/**
 * @typedef {object} Field What is asked for.
 * @property {string} name
 * @property {string} label
 * @property {"text" | "password" | "number" | "time" | "choice" | "check"} [kind]
 * @property {[value: string, label: string][]} [choices]
 * @property {string} [value] At first.
 * @property {string} [hint]
 * @property {boolean} [required]
 * @property {number} [min]
 * @property {number} [max]
 * @property {(values: Record<string, string>) => boolean} [shown] Whether it is asked for, given the others.
 */

/**
 * @typedef {object} Act
 * @property {string} verb What the button says: `Pause`.
 * @property {string} title What will be done, to what: `Pause issues of acme/shop`.
 * @property {Children} effect What that means, and to how many.
 * @property {Role} needs Others do not see it.
 * @property {boolean} [asks] It can't be undone: ask once more.
 * @property {boolean} [once] What it shows at the end can't be seen again: the dialog stays until then.
 * @property {Field[]} [fields]
 * @property {(values: Record<string, any>) => Promise<any>} run Empty fields are null; numbers and times are the API's.
 * @property {string | ((result: any) => string)} done What was done, in the past tense.
 * @property {string} action Of its row of the audit log.
 * @property {string | null | ((result: any) => string | null | undefined)} target Of the same; undefined: nothing was changed, so there is none.
 * @property {(result: any) => void} [after] Shows the page anew.
 * @property {(result: any) => Children} [show] What the dialog shows at the end; without it the dialog closes.
 */

/**
 * @typedef {object} Notice
 * @property {number} id
 * @property {"busy" | "done" | "failed"} state
 * @property {string} text
 * @property {AuditEntry | null} [audit]
 * @property {Children} [more]
 */

/** The act that is being asked about. @type {Store<Act | null>} */
const asked = new Store(/** @type {Act | null} */ (null));

/** @type {Store<Notice[]>} */
const notices = new Store(/** @type {Notice[]} */ ([]));
let lastId = 0;
/** Milliseconds for which what was done is shown. */
const SHOWN = 15_000;

/** Show a message. @param {Omit<Notice, "id">} notice @param {number} [id] That of the one to replace. */
export function tell(notice, id = ++lastId) {
  const others = notices.value.filter((each) => each.id !== id);
  notices.set([...others, { ...notice, id }].slice(-5));
  if (notice.state === "done") setTimeout(() => dismiss(id), SHOWN);
  return id;
}

/** @param {number} id */
function dismiss(id) {
  notices.set(notices.value.filter((each) => each.id !== id));
}

/** Titles of acts that are under way: a second click is not a second act. @type {Set<string>} */
const underWay = new Set();

/** The session has ended: what was shown goes with it. */
export function forgetActs() {
  asked.set(null);
  notices.set([]);
}

/** Carry *act* out, after asking where that is necessary. @param {Act} act */
export function perform(act) {
  if (act.asks || act.fields) asked.set(act);
  else if (!underWay.has(act.title)) void carryOut(act, {}).catch(() => {});
}

/** @param {Act} act @param {Record<string, any>} values @throws What it throws; a notice has said so. */
async function carryOut(act, values) {
  const id = tell({ state: "busy", text: `${act.title} …` });
  underWay.add(act.title);
  try {
    const result = await act.run(values);
    act.after?.(result);
    const target = typeof act.target === "function" ? act.target(result) : act.target;
    const audit = target === undefined ? null : await auditRow(act.action, target);
    tell({ state: "done", text: typeof act.done === "function" ? act.done(result) : act.done, audit }, id);
    return result;
  } catch (error) {
    tell({ state: "failed", text: `${act.title}: ${inWords(error)}` }, id);
    act.after?.(undefined); // what stood in the way may not be shown yet
    throw error;
  } finally {
    underWay.delete(act.title);
  }
}

/** The newest row of the one who is signed in; null if there is none, or it may not be seen.
 * @param {string} action @param {string | null} target */
export async function auditRow(action, target) {
  if (!can("operate") || !session.value) return null;
  const query = { action, actor: session.value.name, limit: 1, ...(target === null ? {} : { target }) };
  return client.audit.list(query).then(({ audit }) => audit[0] ?? null, () => null);
}

/** A link to a row. @param {{ audit: AuditEntry }} props */
export function AuditLink({ audit }) {
  const { id, action, target } = audit;
  return html`<a href=${address("/audit", { action, target })}>Audit row ${id}</a>`;
}

/** A button for an act, for those who may. @param {{ act: Act, label?: string, kind?: string, small?: boolean }} props */
export function ActButton({ act, label = act.verb, kind = "", small = false }) {
  if (!can(act.needs)) return null;
  const more = act.asks || act.fields ? "…" : "";
  // Who speaks to the browser says what the button shows.
  const name = act.title.toLowerCase().includes(label.toLowerCase()) ? act.title : `${label}: ${act.title}`;
  return html`<button type="button" class="${kind} ${act.asks ? "danger" : ""} ${small ? "small" : ""}" title=${typeof act.effect === "string" ? act.effect : act.title}
    aria-label=${name} onClick=${() => perform(act)}>${label}${more}</button>`;
}

/** Messages and the dialog of acts: once a page. */
export function Acting() {
  const act = useStore(asked);
  const said = useStore(notices);
  return html`
    ${act && html`<${Ask} act=${act} key=${act.title} />`}
    <div class="notices" role="log" aria-label="Messages">
      ${said.map((notice) => html`<div key=${notice.id} class="notice is-${notice.state}" role=${notice.state === "failed" ? "alert" : "status"}>
        ${notice.state === "busy" ? html`<span class="spinner" aria-hidden="true"></span>` : html`<${Icon} name=${notice.state === "done" ? "done" : "warning"} />`}
        <span>${notice.text} ${notice.audit ? html`<${AuditLink} audit=${notice.audit} />` : null} ${notice.more}</span>
        <button type="button" class="quiet" aria-label="Dismiss" onClick=${() => dismiss(notice.id)}><${Icon} name="close" /></button>
      </div>`)}
    </div>`;
}

/** @param {{ act: Act }} props */
function Ask({ act }) {
  const { fields = [] } = act;
  const [values, setValues] = useState(() => Object.fromEntries(fields.map(({ name, value }) => [name, value ?? ""])));
  const [state, setState] = useState(/** @type {{ busy: boolean, error: unknown, shown: Children }} */ ({ busy: false, error: null, shown: null }));
  const submitted = useRef(false);
  // Another one may be asked about by the time that this one has ended.
  const close = () => void (asked.value === act && asked.set(null));
  const leave = () => void ((state.busy && act.once) || close());

  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    if (submitted.current) return; // the button is not disabled yet
    submitted.current = true;
    setState({ busy: true, error: null, shown: null });
    try {
      const result = await carryOut(act, given(fields, values));
      const shown = act.show?.(result);
      if (shown) setState({ busy: false, error: null, shown });
      else close();
    } catch (error) {
      submitted.current = false;
      setState({ busy: false, error, shown: null });
    }
  };
  if (state.shown) {
    return html`<${Dialog} title=${act.title} onClose=${close} stays=${act.once}>${state.shown}<div class="dialog-acts"><button type="button" onClick=${close}>Close</button></div><//>`;
  }
  return html`<${Dialog} title=${act.title} onClose=${leave}>
    <form onSubmit=${submit}>
      <div>${act.effect}</div>
      ${fields.filter(({ shown }) => !shown || shown(values)).map((field) => html`<${Input} key=${field.name} field=${field} value=${values[field.name]}
        onInput=${(/** @type {string} */ value) => setValues((before) => ({ ...before, [field.name]: value }))} />`)}
      <${Problem} error=${state.error} />
      <div class="dialog-acts">
        <button type="button" disabled=${state.busy && act.once} onClick=${leave}>Back</button>
        <button type="submit" class=${act.asks ? "danger strong" : "strong"} disabled=${state.busy} aria-busy=${state.busy}>${act.verb}</button>
      </div>
    </form>
  <//>`;
}

/** What the fields that are shown hold, as the API takes it. @param {Field[]} fields @param {Record<string, string>} values */
function given(fields, values) {
  return Object.fromEntries(fields.filter(({ shown }) => !shown || shown(values)).map(({ name, kind }) => {
    const value = values[name];
    if (kind === "check") return [name, value === "true"];
    if (value === "") return [name, null];
    return [name, kind === "number" ? Number(value) : kind === "time" ? fromInput(value) : value];
  }));
}

/** @param {{ field: Field, value: string, onInput: (value: string) => void }} props */
function Input({ field, value, onInput }) {
  const { name, label, kind = "text", choices = [], hint, required = false, min, max } = field;
  const id = `field-${name}`;
  const common = {
    id, name, required, "aria-describedby": hint ? `${id}-hint` : undefined, autocomplete: "off",
    onInput: (/** @type {any} */ event) => onInput(kind === "check" ? String(event.target.checked) : event.target.value),
  };
  const type = kind === "time" ? "datetime-local" : kind;
  return html`<div class="field ${kind}">
    <label for=${id}>${label}</label>
    ${kind === "choice" ? html`<select ...${common} value=${value}>${choices.map(([each, text]) => html`<option value=${each} selected=${each === value}>${text}</option>`)}</select>`
      : kind === "check" ? html`<input ...${common} type="checkbox" checked=${value === "true"} />`
      : html`<input ...${common} type=${type} step=${kind === "time" ? 1 : undefined} min=${min} max=${max} value=${value} spellcheck=${false} />`}
    ${hint ? html`<p class="hint" id=${`${id}-hint`}>${hint}</p>` : null}
  </div>`;
}
