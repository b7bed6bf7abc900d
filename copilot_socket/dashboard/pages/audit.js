// @ts-check
import { html } from "../ui/html.js";

export function Audit() {
  return html`<h1 tabindex="-1">Audit</h1>`;
}
