// @ts-check
/** Tables: native ones, whose rows can be chosen with the keyboard. */

import { useEffect, useRef } from "/dashboard/vendor/hooks.js";
import { Empty } from "./bits.js";
import { html } from "./html.js";
import { change, usePlace } from "./router.js";

/** @import { Children } from "./html.js" */

/**
 * @template R
 * @typedef {object} Column
 * @property {string} label
 * @property {(row: R) => Children} cell
 * @property {boolean} [number] A figure: to the right.
 * @property {string} [order] The value of `order` that sorts by this, ascending; with `-` descending.
 * @property {string} [kind] A class of its cells.
 */

/**
 * @typedef {object} Selection
 * @property {Set<string>} chosen Keys of rows.
 * @property {(chosen: Set<string>) => void} choose
 */

/**
 * @template R
 * @param {{ caption: string, columns: Column<R>[], rows: R[], rowKey: (row: R) => string, selection?: Selection,
 *   name?: (row: R) => string, still?: boolean }} props *name*: what a screen reader calls a row's box.
 *   *still*: nothing in it takes the focus.
 */
export function Table({ caption, columns, rows, rowKey, selection, name = rowKey, still = false }) {
  const anchor = useRef(/** @type {number | null} */ (null));
  const keys = rows.map(rowKey);
  const chosen = selection?.chosen;

  /** @param {number} at @param {boolean} on @param {boolean} range */
  const toggle = (at, on, range) => {
    if (!selection) return;
    const next = new Set(selection.chosen);
    const from = range && anchor.current !== null ? anchor.current : at;
    for (let each = Math.min(from, at); each <= Math.max(from, at); each++) {
      if (on) next.add(keys[each]);
      else next.delete(keys[each]);
    }
    anchor.current = at;
    selection.choose(next);
  };

  /** @param {KeyboardEvent} event */
  const onKeyDown = (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const row = target.closest("tbody tr");
    if (!row || event.altKey || event.ctrlKey || event.metaKey) return;
    const at = Number(/** @type {HTMLElement} */ (row).dataset.at);
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    if (step) {
      const next = at + step;
      const [cells, others] = [row, row.parentElement?.children[next]].map((each) => [...(each?.querySelectorAll("a, button, input") ?? [])]);
      const there = others[Math.max(0, cells.indexOf(target))] ?? others[0];
      if (!(there instanceof HTMLElement)) return;
      event.preventDefault();
      if (event.shiftKey && selection) toggle(next, true, true);
      there.focus();
    } else if (event.key === "x" && selection && target.tagName !== "INPUT") {
      event.preventDefault();
      toggle(at, !selection.chosen.has(keys[at]), false);
    }
  };

  const body = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    // Where nothing has the focus, j goes to the first row of the page's first table.
    const enter = (/** @type {KeyboardEvent} */ event) => {
      const { target, key, altKey, ctrlKey, metaKey } = event;
      if (key !== "j" || altKey || ctrlKey || metaKey || (target !== document.body && !(target instanceof HTMLHeadingElement))) return;
      if (!body.current || document.querySelector('tbody[role="rowgroup"]') !== body.current) return;
      /** @type {HTMLElement | null} */ (body.current.querySelector("a, button, input"))?.focus();
    };
    document.addEventListener("keydown", enter);
    return () => document.removeEventListener("keydown", enter);
  }, []);

  const all = keys.length > 0 && keys.every((key) => chosen?.has(key));
  const some = keys.some((key) => chosen?.has(key));
  // What scrolls must be reached by the keyboard, by what is in it or itself.
  const region = still ? { tabindex: 0, role: "region", "aria-label": caption } : {};
  return html`<div class="table" ...${region}><table role="table" onKeyDown=${onKeyDown}>
    <caption class="unseen">${caption}</caption>
    <thead role="rowgroup"><tr role="row">
      ${selection && html`<th role="columnheader" scope="col" class="choice"><input type="checkbox" aria-label="Select all rows of this page" checked=${all}
        indeterminate=${some && !all} onChange=${() => selection.choose(new Set(all ? [] : keys))} /></th>`}
      ${columns.map((column) => html`<${Head} column=${column} />`)}
    </tr></thead>
    <tbody role="rowgroup" ref=${body}>
      ${rows.map((row, at) => html`<tr role="row" key=${keys[at]} data-at=${at} class=${chosen?.has(keys[at]) ? "chosen" : ""}>
        ${selection && html`<td role="cell" class="choice"><input type="checkbox" aria-label=${`Select ${name(row)}`} checked=${chosen?.has(keys[at])}
          onClick=${(/** @type {MouseEvent} */ event) => toggle(at, /** @type {HTMLInputElement} */ (event.target).checked, event.shiftKey)} /></td>`}
        ${columns.map((column) => html`<td role="cell" data-label=${column.label} class=${[column.number ? "number" : "", column.kind ?? ""].join(" ")}>${whole(column.cell(row))}</td>`)}
      </tr>`)}
    </tbody>
  </table></div>`;
}

/** A cell, whose parts may be several, as one: on a narrow screen they stand together, opposite the column's name. @param {Children} cell */
function whole(cell) {
  return typeof cell === "object" && cell !== null ? html`<div>${cell}</div>` : cell;
}

/** @param {{ column: Column<any> }} props */
function Head({ column }) {
  const { query } = usePlace();
  const { order, label } = column;
  const kind = column.number ? "number" : "";
  if (!order) return html`<th role="columnheader" scope="col" class=${kind}>${label}</th>`;
  const present = query.get("order");
  const [sorted, next] = present === order ? ["ascending", `-${order}`] : present === `-${order}` ? ["descending", order] : [undefined, `-${order}`];
  return html`<th role="columnheader" scope="col" class=${kind} aria-sort=${sorted}>
    <button type="button" class="sort" onClick=${() => change({ order: next })}>${label}<span aria-hidden="true">${sorted === "ascending" ? " ↑" : sorted ? " ↓" : ""}</span></button>
  </th>`;
}

/**
 * A list with pages: the table of the present one, or what there is to say without rows.
 *
 * @template R
 * @param {Parameters<typeof Table<R>>[0] & { empty: Children, next: string | null | undefined, cursor?: string, optional?: boolean, found?: Children }} props
 *   *empty*: shown where the first page has no rows. *cursor*: the parameter of the address, where a page has several lists.
 *   *optional*: one page alone has no buttons. *found*: how many there are in all.
 */
export function List({ empty, next, cursor = "cursor", optional = false, found, ...table }) {
  const { query } = usePlace();
  const first = !query.get(cursor);
  const limit = query.get("limit") ?? "100";
  const toFirst = () => change({ [cursor]: null });
  const nothing = first ? empty : html`<${Empty} title="No more rows.">Go back to the <button type="button" onClick=${toFirst}>first page</button>.<//>`;
  return html`${table.rows.length === 0 ? nothing : html`<${Table} ...${table} />`}
    ${optional && first && !next ? null : html`<nav class="pager" aria-label="Pages of the list">
      <span>${found}</span>
      <label>Rows <select value=${limit} onChange=${(/** @type {any} */ event) => change({ limit: event.target.value === "100" ? null : event.target.value })}>
        ${["25", "100", "500"].map((each) => html`<option value=${each} selected=${each === limit}>${each}</option>`)}
      </select></label>
      <button type="button" disabled=${first} onClick=${toFirst}>First page</button>
      <button type="button" disabled=${!next || table.rows.length === 0} onClick=${() => change({ [cursor]: next })}>Next page</button>
    </nav>`}`;
}
