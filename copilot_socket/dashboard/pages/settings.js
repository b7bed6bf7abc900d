// @ts-check
import { html } from "../ui/html.js";

export function Settings() {
  return html`<h1 tabindex="-1">Settings</h1>`;
}
