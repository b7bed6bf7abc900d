import htm from "/dashboard/vendor/htm.js";
import { h, render } from "/dashboard/vendor/preact.js";
import { NAME } from "./core/name.js";

const html = htm.bind(h);

render(html`<h1>${NAME}</h1>`, document.body);
