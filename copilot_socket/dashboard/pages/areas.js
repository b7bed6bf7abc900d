// @ts-check
import { html } from "../ui/html.js";

export function Areas() {
  return html`<h1 tabindex="-1">Areas</h1>`;
}
