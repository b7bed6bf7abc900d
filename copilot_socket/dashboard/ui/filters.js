// @ts-check
/** The conditions of a list, which are parameters of the page's address. */

import { html } from "./html.js";
import { change, usePlace } from "./router.js";

/** @import { Children } from "./html.js" */

/** @param {{ label: string, names: string[], children?: Children }} props *label*: what is filtered; *names*: of the parameters. */
export function Filters({ label, names, children }) {
  const { query } = usePlace();
  const set = names.some((name) => query.get(name));
  return html`<form class="filter" role="search" aria-label=${label} onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
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

/** @param {{ name: string, label: string, hint?: string }} props */
export function TextFilter({ name, label, hint }) {
  const { query } = usePlace();
  return html`<label>${label}<input type="search" value=${query.get(name) ?? ""} placeholder=${hint} title=${hint} spellcheck=${false}
    onChange=${(/** @type {any} */ event) => change({ [name]: event.target.value.trim() })} /></label>`;
}
