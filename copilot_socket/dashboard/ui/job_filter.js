// @ts-check
/** The filter of the list of jobs, and filters that this browser keeps by name. */

import { useState } from "/dashboard/vendor/hooks.js";
import { address } from "../core/addresses.js";
import { FIELDS, filterIn, inWords } from "../core/filters.js";
import { perform } from "./acts.js";
import { Typed } from "./filters.js";
import { html } from "./html.js";
import { Icon } from "./icons.js";
import { change, usePlace } from "./router.js";
import { keep, read } from "./store.js";

/** @import { FilterField } from "../core/filters.js" */

const ALWAYS = ["search", "account_id", "path_prefix"];

/** @param {{ filter: Record<string, string> }} props */
export function FilterBar({ filter }) {
  const always = FIELDS.filter(({ name }) => ALWAYS.includes(name));
  const others = FIELDS.filter(({ name }) => !ALWAYS.includes(name) && name !== "status");
  const [state] = FIELDS;
  const set = Object.keys(filter).filter((name) => !ALWAYS.includes(name) && name !== "status");
  return html`<form role="search" aria-label="Filter of jobs" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
    <div class="filters"><${Choices} field=${state} value=${filter.status ?? ""} /></div>
    <div class="filters">${always.map((field) => html`<${Condition} key=${field.name} field=${field} value=${filter[field.name] ?? ""} />`)}</div>
    <details><summary>More conditions${set.length ? ` (${set.length})` : ""}</summary>
      <div class="filters">${others.map((field) => html`<${Condition} key=${field.name} field=${field} value=${filter[field.name] ?? ""} />`)}</div>
    </details>
    ${Object.keys(filter).length ? html`<div class="chips" aria-label="Conditions">
      ${Object.keys(filter).map((name) => {
        const [words] = inWords({ [name]: filter[name] });
        return html`<span class="chip" key=${name}>${words}<button type="button" class="quiet" aria-label=${`Remove ${words}`} onClick=${() => change({ [name]: null })}><${Icon} name="close" /></button></span>`;
      })}
      <button type="button" class="quiet" onClick=${() => change(Object.fromEntries(Object.keys(filter).map((name) => [name, null])))}>Clear all</button>
    </div>` : null}
  </form>`;
}

/** @param {{ field: FilterField, value: string }} props */
function Condition({ field, value }) {
  const { name, label, kind, hint, flags } = field;
  if (kind === "choices") return html`<${Choices} field=${field} value=${value} />`;
  if (kind === "flag") {
    return html`<label>${label}<select value=${value} onChange=${(/** @type {any} */ event) => change({ [name]: event.target.value })}>
      <option value="" selected=${!value}>either</option><option value="true" selected=${value === "true"}>${flags?.[0]}</option><option value="false" selected=${value === "false"}>${flags?.[1]}</option></select></label>`;
  }
  return html`<label>${label}<${Typed} value=${value} kind=${kind} hint=${hint} onChange=${(/** @type {string | null} */ next) => change({ [name]: next })} /></label>`;
}

/** @param {{ field: FilterField, value: string }} props */
function Choices({ field, value }) {
  const { name, label, choices = [] } = field;
  const set = value ? value.split(",") : [];
  return html`<fieldset class="choices"><legend>${label}</legend>
    ${choices.map((choice) => html`<label key=${choice}><input type="checkbox" checked=${set.includes(choice)}
      onChange=${(/** @type {any} */ event) => change({ [name]: choices.filter((each) => (each === choice ? event.target.checked : set.includes(each))).join(",") })} />${choice.replaceAll("_", " ")}</label>`)}
  </fieldset>`;
}

/** @typedef {{ name: string, query: string }} Saved */

/** @returns {Saved[]} */
function saved() {
  try {
    const kept = JSON.parse(read("filters") ?? "[]");
    return Array.isArray(kept) ? kept.filter((each) => typeof each?.name === "string" && typeof each.query === "string") : [];
  } catch {
    return [];
  }
}

export function SavedFilters() {
  const { query } = usePlace();
  const [filters, setFilters] = useState(saved);
  /** @param {Saved[]} next */
  const store = (next) => {
    keep("filters", JSON.stringify(next));
    setFilters(next);
  };
  const given = { ...filterIn(query), order: query.get("order") };
  const present = address("", given);
  const save = () => perform({
    verb: "Save", title: "Save this filter", needs: "read", action: "", target: () => undefined,
    effect: `${inWords(filterIn(query)).join(", ") || "All jobs"}. This browser keeps it; its address can be sent to others.`,
    fields: [{ name: "name", label: "Name", required: true }],
    run: async ({ name }) => store([...filters.filter((each) => each.name !== name), { name, query: present }]),
    done: "The filter is saved",
  });
  return html`<details class="preferences"><summary>Saved filters${filters.length ? ` (${filters.length})` : ""} <${Icon} name="more" /></summary>
    <div class="panel">
      ${filters.length === 0 ? html`<p class="hint">None yet: set conditions, then save them here.</p>` : null}
      ${filters.map(({ name, query: kept }) => html`<div class="acts" key=${name}><a href=${`/jobs${kept}`}>${name}</a><span class="grow"></span>
        <button type="button" class="quiet" aria-label=${`Remove the filter ${name}`} onClick=${() => store(filters.filter((each) => each.name !== name))}><${Icon} name="close" /></button></div>`)}
      <button type="button" disabled=${!present} onClick=${save}>Save this filter…</button>
    </div>
  </details>`;
}
