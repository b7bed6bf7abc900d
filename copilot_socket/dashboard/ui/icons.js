// @ts-check
/** Icons: lines on a grid of 16, drawn as elements, which every content policy allows. */

import { html } from "./html.js";

/** @type {Record<string, string>} */
const PATHS = {
  overview: "M2 9h5V2H2zM9 14h5V7H9zM2 14h5v-3H2zM9 5h5V2H9z",
  jobs: "M2 4h12M2 8h12M2 12h8",
  errors: "M8 2 1.5 13.5h13zM8 6.5v3.5M8 12v.1",
  crawlers: "M5 5.5h6v6H5zM8 5.5V3M3 8H1.500M14.500 8H13M3 11l-1.500 1M13 11l1.500 1M7 8v1M9 8v1",
  accounts: "M8 8a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2.500 14c.5-3 2.800-4 5.500-4s5 1 5.500 4",
  areas: "M2 4h4l1.500 2H14v7H2z",
  pauses: "M5.500 3v10M10.500 3v10",
  operations: "M3 8a5 5 0 0 1 9-3M13 8a5 5 0 0 1-9 3M12 2v3H9M4 14v-3h3",
  audit: "M4 2h8v12H4zM6 5.500h4M6 8h4M6 10.500h2",
  tokens: "M6 10.500a3.500 3.500 0 1 1 3.300-2.300L14 12.500V14h-2v-1.500h-1.500V11L9 9.700",
  settings: "M2 5h7M12 5h2M2 11h2M7 11h7M9 3.500v3h3v-3zM4 9.500v3h3v-3z",
  menu: "M2 4h12M2 8h12M2 12h12",
  close: "M4 4l8 8M12 4l-8 8",
  copy: "M5 5V2h9v9h-3M2 5h9v9H2z",
  done: "M3 8.500 6.500 12 13 4.500",
  warning: "M8 2 1.500 13.500h13zM8 6.500v3.500M8 12v.1",
  more: "M4 6l4 4 4-4",
};

/** @param {{ name: string }} props */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d=${PATHS[name]} /></svg>`;
}
