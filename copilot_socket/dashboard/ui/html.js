// @ts-check
/** Templates: HTML as tagged text, which becomes elements of Preact. */

import htm from "/dashboard/vendor/htm.js";
import { h } from "/dashboard/vendor/preact.js";

/** @import { ComponentChildren, VNode } from "/dashboard/vendor/preact.js" */

/** @typedef {ComponentChildren} Children */

/** @type {(strings: TemplateStringsArray, ...values: any[]) => VNode<any>} */
export const html = /** @type {any} */ (htm.bind(h));
