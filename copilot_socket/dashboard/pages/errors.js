// @ts-check
import { html } from "../ui/html.js";

export function Errors() {
  return html`<h1 tabindex="-1">Errors</h1>`;
}
