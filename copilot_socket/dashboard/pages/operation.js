// @ts-check
import { html } from "../ui/html.js";

export function Operation() {
  return html`<h1 tabindex="-1">Operation</h1>`;
}
