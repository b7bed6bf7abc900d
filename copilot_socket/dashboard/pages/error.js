// @ts-check
import { html } from "../ui/html.js";

export function ErrorGroup() {
  return html`<h1 tabindex="-1">ErrorGroup</h1>`;
}
