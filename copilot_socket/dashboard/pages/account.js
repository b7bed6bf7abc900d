// @ts-check
import { html } from "../ui/html.js";

export function Account() {
  return html`<h1 tabindex="-1">Account</h1>`;
}
