// @ts-check
import { html } from "../ui/html.js";

export function Crawler() {
  return html`<h1 tabindex="-1">Crawler</h1>`;
}
