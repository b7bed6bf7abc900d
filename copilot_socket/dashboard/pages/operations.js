// @ts-check
import { html } from "../ui/html.js";

export function Operations() {
  return html`<h1 tabindex="-1">Operations</h1>`;
}
