// @ts-check
import { html } from "../ui/html.js";

export function Crawlers() {
  return html`<h1 tabindex="-1">Crawlers</h1>`;
}
