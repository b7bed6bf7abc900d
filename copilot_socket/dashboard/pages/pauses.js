// @ts-check
import { html } from "../ui/html.js";

export function Pauses() {
  return html`<h1 tabindex="-1">Pauses</h1>`;
}
