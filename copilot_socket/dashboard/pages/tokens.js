// @ts-check
import { html } from "../ui/html.js";

export function Tokens() {
  return html`<h1 tabindex="-1">Tokens</h1>`;
}
