// @ts-check
/** The conditions of a list, which are parameters of the page's address. */

import { useLayoutEffect, useRef } from "/dashboard/vendor/hooks.js";
import { fromInput, toInput } from "../core/times.js";
import { html } from "./html.js";
import { change, usePlace } from "./router.js";

/** @import { Children } from "./html.js" */

/** @param {{ label: string, names: string[], children?: Children }} props *label*: what is filtered; *names*: of the parameters. */
export function Filters({ label, names, children }) {
  const { query } = usePlace();
  const set = names.some((name) => query.get(name));
  return html`<form role="search" aria-label=${label} onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
    <div class="filters">${children}
      ${set ? html`<button type="button" class="quiet" onClick=${() => change(Object.fromEntries(names.map((name) => [name, null])))}>Clear all</button>` : null}</div>
  </form>`;
}

/** One of some values, or any. @param {{ name: string, label: string, choices: (string | [value: string, label: string])[], any?: string }} props */
export function ChoiceFilter({ name, label, choices, any = "any" }) {
  const { query } = usePlace();
  const present = query.get(name) ?? "";
  const options = choices.map((each) => (typeof each === "string" ? [each, each.replaceAll("_", " ")] : each));
  return html`<label>${label}<select onChange=${(/** @type {any} */ event) => change({ [name]: event.target.value })}>
    ${any ? html`<option value="" selected=${!present}>${any}</option>` : null}
    ${options.map(([value, text]) => html`<option key=${value} value=${value} selected=${value === present}>${text}</option>`)}
  </select></label>`;
}

/** @param {{ name: string, label: string, hint?: string, kind?: "text" | "time", list?: string }} props *list*: the id of what is proposed. */
export function TextFilter({ name, label, hint, kind = "text", list }) {
  const { query } = usePlace();
  return html`<label>${label}<${Typed} value=${query.get(name) ?? ""} kind=${kind} hint=${hint} list=${list} onChange=${(/** @type {string | null} */ value) => change({ [name]: value })} /></label>`;
}

/**
 * A field for a condition, which holds once it is complete. What is being typed stays, however often the page is drawn meanwhile.
 *
 * @param {{ value: string, kind: "text" | "time", hint?: string, list?: string, onChange: (value: string | null) => void }} props
 */
export function Typed({ value, kind, hint, list, onChange }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const isTime = kind === "time";
  // As an attribute it would be set at each drawing.
  useLayoutEffect(() => {
    if (input.current) input.current.value = isTime ? toInput(value) : value;
  }, [value]);
  return html`<input ref=${input} type=${isTime ? "datetime-local" : "search"} step=${isTime ? 1 : undefined} placeholder=${hint} title=${hint} list=${list} spellcheck=${false} autocomplete="off"
    onChange=${(/** @type {any} */ event) => onChange(isTime ? fromInput(event.target.value) : event.target.value.trim())} />`;
}
