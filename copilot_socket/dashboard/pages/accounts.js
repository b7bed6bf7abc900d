// @ts-check
import { html } from "../ui/html.js";

export function Accounts() {
  return html`<h1 tabindex="-1">Accounts</h1>`;
}
